"""Rollups: what was put is read, by spans, in whole or in sum; and they go when they have been kept."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import pytest

from app.config import load_settings
from app.domain.analytics.breakdown import EVERYONE, Breakdown
from app.domain.analytics.cells import Cell
from app.domain.analytics.rollups import DAY, HOUR, MINUTE, Gauge, Grain, Rollup, rollups_of
from app.domain.analytics.windows import Span
from app.storage.indexes import ensure_indexes, kept_indexes
from tests.contract.stores.conftest import SmallStores
from tests.support.breakdowns import breakdowns_of
from tests.support.clock import NOON
from tests.unit.domain.analytics.builders import a_failed_run, a_run, minutes

GAUGES = {"running_jobs": Gauge(3.0), "queue_length": Gauge(12.5, 4)}
ALL = tuple(GAUGES)


def rollups(at: datetime = NOON, grain: Grain = Grain.MINUTE, counted: int = 3) -> list[Rollup]:
    """Everyone's, and those of two tenants."""
    runs = [a_run(at, wait_seconds=0.0), a_run(at, tenant="vision", algorithm=None), a_failed_run(at)]
    made = rollups_of(grain, at, breakdowns_of(runs), counted)
    return made if grain is Grain.MINUTE else [replace(made[0], gauges=GAUGES), *made[1:]]


def whole(found: list[Rollup]) -> list[Any]:
    return [asdict(each) for each in found]


def span(grain: Grain = Grain.MINUTE, start: datetime = NOON - HOUR, end: datetime = NOON + HOUR) -> Span:
    return Span(grain, start, end)


async def read(small: SmallStores, *spans: Span, whose: str = EVERYONE, totals: bool = False) -> list[Rollup]:
    return await small.rollups.read(spans or [span()], whose, ALL, totals=totals)


async def test_what_was_put_is_read_as_it_was(small: SmallStores) -> None:
    made = rollups(grain=Grain.HOUR)
    assert [each.whose for each in made] == [EVERYONE, "default", "vision"]
    await small.rollups.put([*rollups(), *made], NOON)
    assert [r.counted for r in await read(small)] == [3]
    for each in made:
        assert whole(await read(small, span(Grain.HOUR), whose=each.whose)) == whole([each])
    made[0].runs.total.merge(Cell(runs=7))
    assert whole(await read(small, span(Grain.HOUR))) != whole(made[:1]), "the store keeps a copy"
    assert await read(small, whose="nobody") == []


async def test_put_again_it_is_the_newer_one(small: SmallStores) -> None:
    await small.rollups.put(rollups(), NOON)
    newer = rollups_of(Grain.MINUTE, NOON, breakdowns_of([a_run()]), 1)
    await small.rollups.put(newer, NOON)
    assert whole(await read(small)) == whole(newer[:1])


async def test_what_was_seen_in_a_minute_and_what_ended_in_it_do_not_meet(small: SmallStores) -> None:
    minute = rollups()[0]
    await small.rollups.see(NOON, {"running_jobs": Gauge(9.0)}, NOON)
    await small.rollups.put([minute], NOON)
    await small.rollups.see(NOON, GAUGES, NOON)
    await small.rollups.put([minute], NOON)
    assert whole(await read(small)) == whole([replace(minute, gauges=GAUGES)])
    await small.rollups.see(NOON + MINUTE, GAUGES, NOON)
    assert await small.rollups.counted(NOON, NOON + HOUR) == {NOON: 3}


async def test_many_at_once_to_one_minute(small: SmallStores) -> None:
    puts = [small.rollups.put(rollups(), NOON) for _ in range(5)]
    await asyncio.gather(*puts, *(small.rollups.see(NOON, GAUGES, NOON) for _ in range(5)))
    assert [(r.counted, dict(r.gauges)) for r in await read(small)] == [(3, GAUGES)]


async def test_what_holds_nothing_is_not_kept(small: SmallStores) -> None:
    await small.rollups.put([Rollup(Grain.HOUR, NOON), Rollup(Grain.MINUTE, NOON)], NOON)
    assert await read(small, span(Grain.HOUR), span()) == []
    await small.rollups.put([Rollup(Grain.MINUTE, NOON, counted=2)], NOON)
    assert await small.rollups.counted(NOON, NOON + HOUR) == {NOON: 2}, "of runs that cannot be read"


async def test_only_the_totals(small: SmallStores) -> None:
    minute = rollups()[0]
    await small.rollups.put([minute], NOON)
    await small.rollups.see(NOON + MINUTE, GAUGES, NOON)
    first, second = await read(small, totals=True)
    assert asdict(first.runs) == asdict(Breakdown(minute.runs.total))
    assert (second.runs, dict(second.gauges)) == (Breakdown(), GAUGES)


async def test_only_the_gauges_that_were_asked_for(small: SmallStores) -> None:
    await small.rollups.see(NOON, GAUGES, NOON)
    [found] = await small.rollups.read([span()], EVERYONE, ["running_jobs", "unheard_of"])
    assert dict(found.gauges) == {"running_jobs": Gauge(3.0)}


async def test_spans_begin_with_their_start_and_end_before_their_end(small: SmallStores) -> None:
    made = [each for n in range(4) for each in rollups(NOON + minutes(n))]
    await small.rollups.put([*made, *rollups(NOON, Grain.HOUR), *rollups(NOON - 12 * HOUR, Grain.DAY)], NOON)
    spans = [
        span(Grain.DAY, NOON - DAY, NOON),
        span(start=NOON + MINUTE, end=NOON + minutes(2.5)),
        span(Grain.HOUR, NOON, NOON + HOUR),
    ]
    for whose in (EVERYONE, "vision"):
        assert [(r.grain.value, (r.at - NOON) / MINUTE) for r in await read(small, *spans, whose=whose)] == [
            ("day", -720), ("hour", 0), ("minute", 1), ("minute", 2),
        ]  # fmt: skip
    assert await small.rollups.read([], EVERYONE) == []


async def test_whose_there_are_in_a_span(small: SmallStores) -> None:
    await small.rollups.put(rollups(), NOON)
    await small.rollups.see(NOON + MINUTE, GAUGES, NOON)
    assert await small.rollups.whose(span(end=NOON + MINUTE)) == [EVERYONE, "default", "vision"]
    assert await small.rollups.whose(span(start=NOON + MINUTE)) == [EVERYONE]
    assert await small.rollups.whose(span(Grain.DAY)) == []


async def test_until_when_all_is_made_is_what_was_said_last(small: SmallStores) -> None:
    assert await small.rollups.settled() is None
    await asyncio.gather(*(small.rollups.settle(NOON) for _ in range(5)))
    for n in (3, 1):
        await small.rollups.settle(NOON + minutes(n))
        assert await small.rollups.settled() == NOON + minutes(n)
    assert await read(small, *(span(grain) for grain in Grain)) == []


async def test_each_is_kept_as_long_as_windows_reach(small: SmallStores) -> None:
    if small.mongo is None:
        return
    await small.rollups.put([rollups()[1], rollups(grain=Grain.HOUR)[0]], NOON)
    kept = {d["_id"]: d["expires_at"] - NOON async for d in small.mongo["rollups"].find({})}
    assert kept == {"minute:2026-01-01T12:00|default": 3 * DAY, "hour:2026-01-01T12:00|": 33 * DAY}
    await ensure_indexes(small.mongo, kept_indexes(load_settings({}).retention))
    indexes = await small.mongo.command("listIndexes", value="rollups")
    assert {i["name"]: i.get("expireAfterSeconds") for i in indexes["cursor"]["firstBatch"]} == {
        "_id_": None,
        "kept": 0,
    }


@pytest.mark.parametrize(
    "total", [{"sums": 5}, {"sums": ["many"]}, {"sums": [float("nan")]}, {"waits": [1, "two"]}, {"times": [1]}, 5]
)
async def test_one_that_cannot_be_read_hides_no_other(small: SmallStores, total: Any) -> None:
    if small.mongo is None:
        return
    await small.rollups.put([rollups(NOON + minutes(n))[0] for n in range(3)], NOON)
    [whole_one] = await small.mongo["rollups"].find({"_id": "minute:2026-01-01T12:01|"}).to_list(1)
    bad = {**whole_one["total"], **total} if isinstance(total, dict) else total
    await small.mongo["rollups"].update_one({"_id": whole_one["_id"]}, {"$set": {"total": bad}})
    assert [r.at for r in await read(small)] == [NOON, NOON + minutes(2)]
