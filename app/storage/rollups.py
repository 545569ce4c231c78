"""Rollups in MongoDB, one document a stretch of time and whose runs it counts; and until when they are made.

    {_id: "minute:2026-01-01T12:05|vision", whose, expires_at, counted, total: cell, by: {template: [cell, …], …},
     failures: {fingerprint: [times, at, run]}, gauges: {name: value}}
    {_id: "settled", at}

A cell: {name, sums: [numbers in the order of `SUMS`, then `asked`], outcomes, ended, waits: [bucket, count, bucket,
count, …], times: likewise}. A gauge is its value, or [sum, samples] where it was seen more than once. Ids sort by time
within a grain, so that a stretch of any length is one range of them, of everyone or, by the index, of one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from operator import attrgetter
from typing import Any

from pymongo import UpdateOne

from app.domain.analytics.breakdown import EVERYONE, Breakdown
from app.domain.analytics.cells import Cell
from app.domain.analytics.failure_counts import Seen
from app.domain.analytics.rollups import Gauge, Gauges, Grain, Rollup
from app.domain.analytics.windows import Span
from app.quarantine import Quarantine
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Database, Document
from app.storage.quarantine import Reading

SETTLED = "settled"
SUMS = (
    "runs", "failed", "retried", "wait_seconds", "run_seconds", "completion_seconds", "cpu_used", "cpu_asked",
    "memory_used", "memory_asked",
)  # fmt: skip
_sums = attrgetter(*SUMS)
_MINUTE = "%Y-%m-%dT%H:%M"


class MongoRollupStore:
    """`RollupStore` over the collection `rollups`."""

    def __init__(self, database: Database, patience: float = PATIENCE, *, quarantine: Quarantine | None = None) -> None:
        self._reading = Reading("rollup", quarantine)
        self._rollups, self._patience = database["rollups"], patience

    async def put(self, rollups: Sequence[Rollup], now: datetime) -> None:
        made = [(r.grain, r.at, r.whose, _document(r)) for r in rollups if r.runs.total.runs or r.counted or r.gauges]
        await self._set(made, now)

    async def see(self, at: datetime, gauges: Gauges, now: datetime) -> None:
        await self._set([(Grain.MINUTE, at, EVERYONE, {"gauges": _gauges_document(gauges)})], now)

    async def _set(self, writes: Sequence[tuple[Grain, datetime, str, Document]], now: datetime) -> None:
        """Upserts on `_id`: two of one document that meet are tried again by the server."""
        requests = [
            UpdateOne(
                {"_id": f"{_start(grain, at)}|{whose}"},
                {"$set": {**fields, "whose": whose, "expires_at": now + grain.kept}},
                upsert=True,
            )
            for grain, at, whose, fields in writes
        ]
        if requests:
            await until_answered(lambda: self._rollups.bulk_write(requests, ordered=False), self._patience)

    async def counted(self, begin: datetime, end: datetime) -> dict[datetime, int]:
        wanted = {**_range(Span(Grain.MINUTE, begin, end)), "whose": EVERYONE, "counted": {"$gt": 0}}
        with answered():
            found = await self._rollups.find(wanted, {"counted": 1}).to_list(None)
        return {_at(d["_id"]): d["counted"] for d in found}

    async def read(
        self, spans: Sequence[Span], whose: str, gauges: Collection[str] = (), *, totals: bool = False
    ) -> list[Rollup]:
        runs = {"total": 1} if totals else {"total": 1, "by": 1, "failures": 1}
        return await self._read([{"whose": whose, **_range(span)} for span in spans], gauges, runs)

    async def whose(self, span: Span) -> list[str]:
        with answered():
            found = await self._rollups.find(_range(span), {"_id": 0, "whose": 1}).to_list(None)
        return sorted({d["whose"] for d in found if isinstance(d.get("whose"), str)})

    async def _read(self, ranges: Sequence[Document], gauges: Collection[str], runs: Document) -> list[Rollup]:
        if not ranges:
            return []
        shown = {f"gauges.{name}": 1 for name in gauges} | runs | {"counted": 1, "whose": 1}
        with answered():
            found = await self._rollups.find({"$or": list(ranges)}, shown).to_list(None)
        return sorted(await self._reading.each(found, _rollup_from), key=lambda r: r.at)

    async def settled(self) -> datetime | None:
        with answered():
            found = await self._rollups.find_one({"_id": SETTLED})
        at = (found or {}).get("at")
        return at if isinstance(at, datetime) else None

    async def settle(self, at: datetime) -> None:
        now = {"$set": {"at": at}}
        await until_answered(lambda: self._rollups.update_one({"_id": SETTLED}, now, upsert=True), self._patience)


def _start(grain: Grain, at: datetime) -> str:
    return f"{grain}:{at.astimezone(UTC):{_MINUTE}}"


def _at(key: str) -> datetime:
    return datetime.fromisoformat(key[key.index(":") + 1 : key.index("|")]).replace(tzinfo=UTC)


def _range(span: Span) -> Document:
    """The stretches that begin in the span; one that began before it is not of it."""
    first, beyond = span.grain.ceil(span.start), span.grain.ceil(span.end)
    return {"_id": {"$gte": _start(span.grain, first), "$lt": _start(span.grain, beyond)}}


def _document(rollup: Rollup) -> Document:
    runs = rollup.runs
    document: Document = {
        "counted": rollup.counted,
        "total": _cell_document("", runs.total),
        "by": {part: [_cell_document(*named) for named in cells.items()] for part, cells in runs.by.items()},
        "failures": {fingerprint: list(seen) for fingerprint, seen in runs.failures.items()},
    }
    if rollup.grain is not Grain.MINUTE:
        document["gauges"] = _gauges_document(rollup.gauges)
    return document


def _rollup_from(d: Mapping[str, Any]) -> Rollup:
    runs = Breakdown()
    if "total" in d:
        runs.total = _cell_from(d["total"])
    for part, cells in d.get("by", {}).items():
        runs.by[part] = {cell["name"]: _cell_from(cell) for cell in cells}
    runs.failures = {fingerprint: Seen(*seen) for fingerprint, seen in d.get("failures", {}).items()}
    grain, _, _ = d["_id"].partition(":")
    return Rollup(Grain(grain), _at(d["_id"]), d["whose"], runs, _gauges_from(d.get("gauges", {})), d.get("counted", 0))


def _gauges_document(gauges: Gauges) -> Document:
    return {name: g.total if g.samples == 1 else [g.total, g.samples] for name, g in gauges.items()}


def _gauges_from(d: Mapping[str, Any]) -> dict[str, Gauge]:
    return {name: Gauge(*value) if isinstance(value, list) else Gauge(value) for name, value in d.items()}


def _cell_document(name: str, cell: Cell) -> Document:
    return {
        "name": name,
        "sums": [*_sums(cell), *cell.asked],
        "outcomes": cell.outcomes,
        "ended": cell.ended,
        "waits": _flat(cell.waits),
        "times": _flat(cell.times),
    }


def _cell_from(d: Mapping[str, Any]) -> Cell:
    """Raises what arithmetic raises for what is no number: a sum that cannot be added to must not be read."""
    sums = d["sums"]
    if not isfinite(sum(sums) + sum(d["waits"]) + sum(d["times"])):
        raise ValueError("a sum is not finite")
    return Cell(
        **dict(zip(SUMS, sums, strict=False)),
        asked=sums[len(SUMS) :],
        outcomes=d["outcomes"],
        ended=d["ended"],
        waits=_pairs(d["waits"]),
        times=_pairs(d["times"]),
    )


def _flat(histogram: Mapping[int, int]) -> list[int]:
    return [number for pair in histogram.items() for number in pair]


def _pairs(flat: Sequence[int]) -> dict[int, int]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
