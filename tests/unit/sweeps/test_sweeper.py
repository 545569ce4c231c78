"""The leader's part: all open sweeps driven, none held up by another, at each ring of the bell."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.domain.errors import Unavailable
from app.domain.ports import SWEEP_BELL
from app.domain.states import JobStatus
from app.metrics import Metrics
from app.scheduler import sweeper
from app.scheduler.service import OnBell
from app.scheduler.sweeper import Sweeper
from app.storage.memory.bells import MemoryBells
from tests.support.wait import until
from tests.unit.sweeps.builders import a_sweep
from tests.unit.sweeps.world import World


async def a_world() -> World:
    world = World(a_sweep(max_parallel=2))
    await world.begin()
    return world


async def test_a_sweep_that_cannot_be_driven_holds_up_no_other() -> None:
    world = await a_world()
    broken = replace(await world.batch(), id="batch_00000000000000000000000000", spec={"space": 7})
    await world.stores.batches.insert(broken, [])
    metrics = Metrics()
    await Sweeper(world.stores, metrics).run_once()
    assert len(await world.jobs(JobStatus.QUEUED)) == 2
    assert metrics.cycle_failures.labels("sweeps")._value.get() == 1


async def test_a_store_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await a_world()

    async def away(*_: Any) -> Any:
        raise Unavailable("MongoDB")

    monkeypatch.setattr(world.stores.trials, "of", away)
    with pytest.raises(Unavailable):
        await Sweeper(world.stores, Metrics()).run_once()


async def test_one_that_has_ended_is_looked_at_once_more() -> None:
    world = await a_world()
    found = Sweeper(world.stores, Metrics())
    await found.run_once()
    [first, second] = await world.jobs()
    await world.completed(await world.running(first), 0.5)
    batch = await world.batch()
    world.stores.batches._batches[batch.id] = replace(batch, status="CANCELLED")  # type: ignore[attr-defined]
    await found.run_once()
    assert [t.end is not None for t in await world.trials()] == [True, False]
    assert second.status is JobStatus.QUEUED
    await found.run_once()
    assert len(await world.trials()) == 2


async def test_after_a_while_without_a_look_the_books_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another leader drove meanwhile: what it has recorded counts, not what was known before."""
    world = await a_world()
    found = Sweeper(world.stores, Metrics())
    await found.run_once()
    before = found._searches[world.batch_id]
    await found.run_once()
    assert found._searches[world.batch_id] is before
    monkeypatch.setattr(sweeper, "STALE", -1.0)
    await found.run_once()
    assert found._searches[world.batch_id] is not before


async def test_a_ring_is_answered_long_before_the_time() -> None:
    bells, looks = MemoryBells(), [0]

    async def look() -> None:
        looks[0] += 1

    leader = cast("Any", SimpleNamespace(leading=True))
    async with OnBell("test", leader, 3_600.0, look, bells, SWEEP_BELL):
        await until(lambda: looks[0] == 1)
        await asyncio.sleep(0)
        await bells.ring(SWEEP_BELL)
        await until(lambda: looks[0] == 2)


async def test_the_end_of_a_trial_rings() -> None:
    world = await a_world()
    await world.look()
    async with world.stores.bells.listen(SWEEP_BELL) as waker:
        job = await world.running((await world.jobs())[0])
        assert not await waker.wait(0)
        await world.completed(job, 0.5)
        assert await waker.wait(1)
