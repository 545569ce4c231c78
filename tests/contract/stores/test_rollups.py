"""Rollups: what was put is read, by spans, in whole or in sum; and they go when they have been kept."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from datetime import datetime

from app.config import load_settings
from app.domain.analytics.cells import Cell, cells_of, sum_of
from app.domain.analytics.rollups import DAY, HOUR, MINUTE, Gauge, Grain, Rollup
from app.domain.analytics.windows import Span
from app.storage.indexes import ensure_indexes, kept_indexes
from app.storage.rollups import EVERYTHING
from tests.contract.stores.conftest import SmallStores
from tests.support.clock import NOON
from tests.unit.domain.analytics.builders import a_failed_run, a_run, minutes

GAUGES = {"running_jobs": Gauge(3.0), "queue_length": Gauge(12.5, 4)}
ALL = tuple(GAUGES)


def rollup(at: datetime = NOON, grain: Grain = Grain.MINUTE, counted: int = 3) -> Rollup:
    runs = [a_run(at, wait_seconds=0.0), a_run(at, template="other", algorithm=None), a_failed_run(at)]
    gauges = {} if grain is Grain.MINUTE else GAUGES
    return Rollup(grain, at, cells_of(runs), gauges, counted)


def whole(rollups: list[Rollup]) -> list[object]:
    return [(r.grain, r.at, {k: asdict(c) for k, c in r.cells.items()}, dict(r.gauges), r.counted) for r in rollups]


def span(grain: Grain = Grain.MINUTE, start: datetime = NOON - HOUR, end: datetime = NOON + HOUR) -> Span:
    return Span(grain, start, end)


async def read(small: SmallStores, *spans: Span, kinds: bool = True) -> list[Rollup]:
    return await small.rollups.read(spans or [span()], ALL, kinds=kinds)


async def test_what_was_put_is_read_as_it_was(small: SmallStores) -> None:
    hour = rollup(grain=Grain.HOUR)
    await small.rollups.put([rollup(), hour], NOON)
    assert [r.counted for r in await read(small)] == [3]
    assert whole(await read(small, span(Grain.HOUR))) == whole([hour])
    [cell] = [c for k, c in hour.cells.items() if k.template == "other"]
    cell.merge(Cell(runs=7))
    assert whole(await read(small, span(Grain.HOUR))) != whole([hour]), "the store keeps a copy"


async def test_put_again_it_is_the_newer_one(small: SmallStores) -> None:
    await small.rollups.put([rollup()], NOON)
    newer = replace(rollup(), cells=cells_of([a_run()]), counted=1)
    await small.rollups.put([newer], NOON)
    assert whole(await read(small)) == whole([newer])


async def test_what_was_seen_in_a_minute_and_what_ended_in_it_do_not_meet(small: SmallStores) -> None:
    minute = rollup()
    await small.rollups.see(NOON, {"running_jobs": Gauge(9.0)}, NOON)
    await small.rollups.put([minute], NOON)
    await small.rollups.see(NOON, GAUGES, NOON)
    await small.rollups.put([minute], NOON)
    assert whole(await read(small)) == whole([replace(minute, gauges=GAUGES)])
    await small.rollups.see(NOON + MINUTE, GAUGES, NOON)
    assert await small.rollups.counted(NOON, NOON + HOUR) == {NOON: 3}


async def test_many_at_once_to_one_minute(small: SmallStores) -> None:
    puts = [small.rollups.put([rollup()], NOON) for _ in range(5)]
    await asyncio.gather(*puts, *(small.rollups.see(NOON, GAUGES, NOON) for _ in range(5)))
    assert [(r.counted, dict(r.gauges)) for r in await read(small)] == [(3, GAUGES)]


async def test_without_kinds_all_runs_are_one_sum(small: SmallStores) -> None:
    minute = rollup()
    await small.rollups.put([minute], NOON)
    await small.rollups.see(NOON + MINUTE, GAUGES, NOON)
    [first, second] = await read(small, kinds=False)
    assert asdict(first.cells[EVERYTHING]) == asdict(sum_of(minute.cells.values()))
    assert (second.cells, dict(second.gauges)) == ({}, GAUGES)


async def test_only_the_gauges_that_were_asked_for(small: SmallStores) -> None:
    await small.rollups.see(NOON, GAUGES, NOON)
    [found] = await small.rollups.read([span()], ["running_jobs", "unheard_of"], kinds=True)
    assert dict(found.gauges) == {"running_jobs": Gauge(3.0)}


async def test_spans_begin_with_their_start_and_end_before_their_end(small: SmallStores) -> None:
    await small.rollups.put([rollup(NOON + minutes(n)) for n in range(4)], NOON)
    await small.rollups.put([rollup(NOON, Grain.HOUR), rollup(NOON - 12 * HOUR, Grain.DAY)], NOON)
    found = await read(
        small,
        span(Grain.DAY, NOON - DAY, NOON),
        span(start=NOON + MINUTE, end=NOON + minutes(2.5)),
        span(Grain.HOUR, NOON, NOON + HOUR),
    )
    assert [(r.grain.value, (r.at - NOON) / MINUTE) for r in found] == [
        ("day", -720), ("hour", 0), ("minute", 1), ("minute", 2),
    ]  # fmt: skip
    assert await small.rollups.read([], ALL, kinds=True) == []


async def test_until_when_all_is_made_never_goes_back(small: SmallStores) -> None:
    assert await small.rollups.settled() is None
    await asyncio.gather(*(small.rollups.settle(NOON + minutes(n)) for n in (3, 1, 2)))
    assert await small.rollups.settled() == NOON + minutes(3)
    assert await read(small, *(span(grain) for grain in Grain)) == []


async def test_each_is_kept_as_long_as_windows_reach(small: SmallStores) -> None:
    if small.mongo is None:
        return
    await small.rollups.put([rollup(), rollup(grain=Grain.HOUR)], NOON)
    kept = {d["_id"]: d["expires_at"] - NOON async for d in small.mongo["rollups"].find({})}
    assert kept == {"minute:2026-01-01T12:00": 3 * DAY, "hour:2026-01-01T12:00": 33 * DAY}
    await ensure_indexes(small.mongo, kept_indexes(load_settings({}).retention))
    indexes = await small.mongo.command("listIndexes", value="rollups")
    assert {i["name"]: i.get("expireAfterSeconds") for i in indexes["cursor"]["firstBatch"]} == {
        "_id_": None,
        "kept": 0,
    }


async def test_one_that_cannot_be_read_hides_no_other(small: SmallStores) -> None:
    if small.mongo is None:
        return
    await small.rollups.put([rollup(NOON + minutes(n)) for n in range(3)], NOON)
    await small.mongo["rollups"].update_one({"_id": "minute:2026-01-01T12:01"}, {"$set": {"cells": [{"kind": 5}]}})
    assert [r.at for r in await read(small)] == [NOON, NOON + minutes(2)]
