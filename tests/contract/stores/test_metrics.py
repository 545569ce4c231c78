"""Metric points: series by name, ascending, each point once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from app.domain.records import MetricPoint
from tests.contract.stores.conftest import SmallStores
from tests.support.clock import NOON

JOB = "job_a"


def point(name: str, n: int | None, value: float = 0.5, *, ms: int = 0) -> MetricPoint:
    return MetricPoint(name, value, n, "train", NOON + timedelta(milliseconds=ms))


async def test_series_come_back_by_name(small: SmallStores) -> None:
    loss = [point("loss", n, 1 / n, ms=n) for n in range(1, 5)]
    accuracy = point("accuracy", None, 0.9, ms=9)
    await small.metrics.append(JOB, 1, loss[2:])
    await small.metrics.append(JOB, 1, [*loss[:2], accuracy])
    assert await small.metrics.read(JOB) == {"loss": loss, "accuracy": [accuracy]}
    assert await small.metrics.read(JOB, ["accuracy", "unknown"]) == {"accuracy": [accuracy]}
    assert await small.metrics.read("job_b") == {}


async def test_points_of_one_moment_are_ordered_by_their_number(small: SmallStores) -> None:
    points = [point("loss", n) for n in (3, 1, 2)]
    for each in points:
        await small.metrics.append(JOB, 1, [each])
    assert [p.n for p in (await small.metrics.read(JOB))["loss"]] == [1, 2, 3]


async def test_points_sent_twice_are_told_once(small: SmallStores) -> None:
    points = [point("loss", n, ms=n) for n in range(3)]
    await asyncio.gather(*(small.metrics.append(JOB, 1, points) for _ in range(3)))
    await small.metrics.append(JOB, 1, tuple(points))
    assert await small.metrics.read(JOB) == {"loss": points}


async def test_the_newest_run_is_read_when_none_is_named(small: SmallStores) -> None:
    await small.metrics.append(JOB, 10, [point("loss", 1, 10.0)])
    await small.metrics.append(JOB, 9, [point("loss", 1, 9.0)])
    assert [p.value for p in (await small.metrics.read(JOB))["loss"]] == [10.0]
    assert [p.value for p in (await small.metrics.read(JOB, run_no=9))["loss"]] == [9.0]


async def test_no_points_are_nothing_and_very_many_are_all_kept(small: SmallStores) -> None:
    await small.metrics.append(JOB, 1, [])
    assert await small.metrics.read(JOB) == {}
    many = [point("loss", n, ms=n) for n in range(12_000)]
    await small.metrics.append(JOB, 1, many)
    assert (await small.metrics.read(JOB))["loss"] == many
