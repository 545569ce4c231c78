"""Rollups in MongoDB, one document a stretch of time, and until when they are made.

    {_id: "minute:2026-01-01T12:05", expires_at, counted, total: [cell], cells: [cell, …], gauges: {name: value}}
    {_id: "settled", at}

A cell: {kind: [tenant, priority, template, algorithm], sums: [numbers in the order of `SUMS`, then `asked`], outcomes,
ended, waits: [bucket, count, bucket, count, …], times: likewise, failures: {fingerprint: [times, at, run]}}. `total`
holds the sum of the cells, if there are any, for those who need no more. A gauge is its value, or [sum, samples] where
it was seen more than once. Ids sort by time within a grain, so that a stretch of any length is one range of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import UpdateOne

from app.domain.analytics.cells import OTHER, Cell, Kind, Seen, sum_of
from app.domain.analytics.rollups import Gauge, Gauges, Grain, Rollup
from app.domain.analytics.windows import Span
from app.quarantine import Quarantine
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Database, Document
from app.storage.quarantine import Reading

SETTLED = "settled"
SUMS = (
    "runs", "retried", "wait_seconds", "run_seconds", "completion_seconds", "cpu_used", "cpu_asked", "memory_used",
    "memory_asked",
)  # fmt: skip
EVERYTHING = Kind(OTHER, OTHER, OTHER, None)
"""What the runs of a rollup are called when their kinds are not told."""
_MINUTE = "%Y-%m-%dT%H:%M"


class MongoRollupStore:
    """`RollupStore` over the collection `rollups`."""

    def __init__(self, database: Database, patience: float = PATIENCE, *, quarantine: Quarantine | None = None) -> None:
        self._reading = Reading("rollup", quarantine)
        self._rollups, self._patience = database["rollups"], patience

    async def put(self, rollups: Sequence[Rollup], now: datetime) -> None:
        await self._set([(r.grain, r.at, _document(r)) for r in rollups], now)

    async def see(self, at: datetime, gauges: Gauges, now: datetime) -> None:
        await self._set([(Grain.MINUTE, at, {"gauges": _gauges_document(gauges)})], now)

    async def _set(self, writes: Iterable[tuple[Grain, datetime, Document]], now: datetime) -> None:
        """Upserts on `_id`: two of one document that meet are tried again by the server."""
        requests = [
            UpdateOne({"_id": _id(grain, at)}, {"$set": fields | {"expires_at": now + grain.kept}}, upsert=True)
            for grain, at, fields in writes
        ]
        if requests:
            await until_answered(lambda: self._rollups.bulk_write(requests, ordered=False), self._patience)

    async def counted(self, begin: datetime, end: datetime) -> dict[datetime, int]:
        wanted = _range(Span(Grain.MINUTE, begin, end)) | {"counted": {"$gt": 0}}
        with answered():
            found = await self._rollups.find(wanted, {"counted": 1}).to_list(None)
        return {_at(d["_id"]): d["counted"] for d in found}

    async def read(self, spans: Sequence[Span], gauges: Collection[str], *, kinds: bool) -> list[Rollup]:
        if not spans:
            return []
        shown: Document = {f"gauges.{name}": 1 for name in gauges} | {"cells" if kinds else "total": 1, "counted": 1}
        with answered():
            found = await self._rollups.find({"$or": [_range(span) for span in spans]}, shown).to_list(None)
        return sorted(await self._reading.each(found, _rollup_from), key=lambda r: r.at)

    async def settled(self) -> datetime | None:
        with answered():
            found = await self._rollups.find_one({"_id": SETTLED})
        at = (found or {}).get("at")
        return at if isinstance(at, datetime) else None

    async def settle(self, at: datetime) -> None:
        later = {"$max": {"at": at}}
        await until_answered(lambda: self._rollups.update_one({"_id": SETTLED}, later, upsert=True), self._patience)


def _id(grain: Grain, at: datetime) -> str:
    return f"{grain}:{at.astimezone(UTC):{_MINUTE}}"


def _at(key: str) -> datetime:
    return datetime.strptime(key.partition(":")[2], _MINUTE).replace(tzinfo=UTC)


def _range(span: Span) -> Document:
    """The stretches that begin in the span; one that began before it is not of it."""
    first, beyond = span.grain.ceil(span.start), span.grain.ceil(span.end)
    return {"_id": {"$gte": _id(span.grain, first), "$lt": _id(span.grain, beyond)}}


def _document(rollup: Rollup) -> Document:
    cells = [_cell_document(kind, cell) for kind, cell in rollup.cells.items()]
    total = [_cell_document(EVERYTHING, sum_of(rollup.cells.values()))] if cells else []
    document: Document = {"counted": rollup.counted, "total": total, "cells": cells}
    if rollup.grain is not Grain.MINUTE:
        document["gauges"] = _gauges_document(rollup.gauges)
    return document


def _rollup_from(d: Mapping[str, Any]) -> Rollup:
    cells = {Kind(*cell["kind"]): _cell_from(cell) for cell in d.get("cells", d.get("total", ()))}
    grain, _, _ = d["_id"].partition(":")
    return Rollup(Grain(grain), _at(d["_id"]), cells, _gauges_from(d.get("gauges", {})), d.get("counted", 0))


def _gauges_document(gauges: Gauges) -> Document:
    return {name: g.total if g.samples == 1 else [g.total, g.samples] for name, g in gauges.items()}


def _gauges_from(d: Mapping[str, Any]) -> dict[str, Gauge]:
    return {name: Gauge(*value) if isinstance(value, list) else Gauge(value) for name, value in d.items()}


def _cell_document(kind: Kind, cell: Cell) -> Document:
    return {
        "kind": list(kind),
        "sums": [*(getattr(cell, name) for name in SUMS), *cell.asked],
        "outcomes": cell.outcomes,
        "ended": cell.ended,
        "waits": _flat(cell.waits),
        "times": _flat(cell.times),
        "failures": {fingerprint: list(seen) for fingerprint, seen in cell.failures.items()},
    }


def _cell_from(d: Mapping[str, Any]) -> Cell:
    sums = d["sums"]
    return Cell(
        **dict(zip(SUMS, sums, strict=False)),
        asked=sums[len(SUMS) :],
        outcomes=d["outcomes"],
        ended=d["ended"],
        waits=_pairs(d["waits"]),
        times=_pairs(d["times"]),
        failures={fingerprint: Seen(*seen) for fingerprint, seen in d["failures"].items()},
    )


def _flat(histogram: Mapping[int, int]) -> list[int]:
    return [number for pair in histogram.items() for number in pair]


def _pairs(flat: Sequence[int]) -> dict[int, int]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
