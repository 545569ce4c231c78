"""Rollups are made of what ended, once and again, from the first run on and after any pause."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.analytics.breakdown import EVERYONE, Breakdown, sum_up
from app.domain.analytics.rollups import DAY, HOUR, Gauge, Grain, Rollup
from app.domain.analytics.series import SAMPLED
from app.domain.analytics.windows import LONGEST, Period, Span, cover
from app.domain.errors import Unavailable
from app.domain.records import RunSummary
from app.scheduler.rolling import LATE, TOGETHER, Roller, batches
from tests.support.breakdowns import breakdowns_of
from tests.unit.domain.analytics.builders import a_failed_run, a_run, minutes
from tests.unit.scheduler.cluster import Cluster

START = datetime(2026, 1, 1, 22, 30, tzinfo=UTC)


class World:
    """A cluster whose clock begins in the evening, and its roller."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.cluster.clock.at = START
        self.told: list[str] = []
        self.roller = Roller(self.cluster.services, self._ended)

    def _ended(self, runs: Iterable[RunSummary]) -> None:
        self.told += [run.job_id for run in runs]

    @property
    def now(self) -> datetime:
        return self.cluster.clock.now()

    async def end(self, *ago: float, **changes: Any) -> list[RunSummary]:
        """Runs that ended so many minutes ago."""
        runs = [a_run(self.now - minutes(each), **changes) for each in ago]
        for run in runs:
            await self.cluster.runs.insert(run)
        return runs

    async def roll(self, later: timedelta = timedelta(0)) -> None:
        self.cluster.clock.advance(later)
        assert await self.roller.roll(self.now)

    async def all(self, grain: Grain) -> list[Rollup]:
        span = Span(grain, START - 40 * DAY, self.now + 2 * DAY)
        return await self.cluster.rollups.read([span], EVERYONE, SAMPLED)

    async def covered(self, whose: str = EVERYONE) -> Breakdown:
        """All that ended until now, by the coarsest rollups there are."""
        until = self.now + timedelta(milliseconds=1)
        spans = cover(Period(Grain.HOUR.floor(START - 30 * DAY), until), await self.cluster.rollups.settled())
        return sum_up(rollup.runs for rollup in await self.cluster.rollups.read(spans, whose))

    async def assert_right(self) -> None:
        """Whatever is covered is what the runs say."""
        for whose, want in breakdowns_of(self.cluster.runs.summaries).items():
            assert asdict(await self.covered(whose)) == asdict(want)


async def test_a_minute_holds_what_ended_in_it_and_grows() -> None:
    world = World()
    await world.end(0.1, 0.2, 1.5)
    await world.roll()
    assert [(r.at, r.counted) for r in await world.all(Grain.MINUTE)] == [
        (START - minutes(2), 1),
        (START - minutes(1), 2),
    ]
    await world.end(0.3)
    await world.roll()
    assert [r.counted for r in await world.all(Grain.MINUTE)] == [1, 3]
    await world.assert_right()


async def test_what_did_not_change_is_not_made_again() -> None:
    world = World()
    await world.end(0.1, 5)
    await world.roll()
    told = list(world.told)
    await world.roll(minutes(1))
    assert world.told == told
    await world.end(0.5)
    await world.roll()
    assert len(world.told) == len(told) + 1


async def test_hours_and_days_are_made_when_they_are_over_with_what_was_seen() -> None:
    world = World()
    await world.end(0.1, 20)
    await world.roll()
    await world.cluster.rollups.see(START, {"running_jobs": Gauge(3.0)}, START)
    await world.roll(minutes(29))
    assert await world.all(Grain.HOUR) == []
    await world.roll(minutes(1))
    [hour] = await world.all(Grain.HOUR)
    assert (hour.at, hour.runs.total.runs, hour.gauges) == (Grain.HOUR.floor(START), 2, {"running_jobs": Gauge(3.0)})
    assert await world.all(Grain.DAY) == []
    await world.roll(HOUR)
    [day] = await world.all(Grain.DAY)
    assert (day.at, day.runs.total.runs, day.gauges) == (Grain.DAY.floor(START), 2, {"running_jobs": Gauge(3.0)})
    await world.assert_right()


async def test_what_comes_late_is_taken_in_everywhere() -> None:
    world = World()
    await world.end(1)
    await world.roll()
    await world.roll(minutes(90))
    assert len(await world.all(Grain.DAY)) == 1
    await world.roll(timedelta(0))
    late = a_run(world.now - LATE + minutes(0.5))
    await world.cluster.runs.insert(late)
    await world.roll()
    await world.assert_right()


async def test_what_comes_late_is_taken_in_after_a_pause_however_long() -> None:
    """Nobody led for two days; what ended meanwhile, and just before, is counted by the next leader."""
    world = World()
    await world.end(1)
    await world.roll()
    await world.end(5, 0.2)
    world.cluster.clock.advance(2 * DAY)
    await world.end(1, 300, 1_500)
    await world.roll()
    await world.assert_right()
    assert await world.cluster.rollups.settled() == Grain.MINUTE.floor(world.now)


async def test_what_was_there_before_there_were_rollups_is_rolled_up_as_far_as_windows_reach() -> None:
    world = World()
    await world.end(*(60 * n for n in range(1, 24 * 29, 17)))
    await world.roll()
    await world.assert_right()
    world = World()
    await world.end((LONGEST + 3 * DAY) / minutes(1), 5)
    await world.roll()
    assert (await world.covered()).total.runs == 1


@pytest.mark.parametrize("hours", [1, 20, 47, 49, 50, 51, 60, 73, 100, 400])
async def test_after_a_pause_of_any_length_all_hours_are_whole(hours: int) -> None:
    """Nobody led for so long, and minutes go when they have been kept: no hour may be made of what is left of it."""
    world = World()
    await world.end(*range(0, 120, 7))
    await world.roll()
    for _ in range(hours):
        world.cluster.clock.advance(HOUR)
        await world.end(1, 17, 43)
    world.cluster.rollups.expire(world.now - 3 * DAY)
    await world.roll()
    await world.assert_right()
    await world.roll(minutes(90))
    await world.assert_right()


async def test_two_leaders_at_once_make_the_same() -> None:
    world = World()
    other = Roller(world.cluster.services, lambda _: None)
    await world.end(0.1, 7, 70)
    await world.roll()
    await other.roll(world.now)
    await world.end(0.1)
    await other.roll(world.now)
    await world.roll()
    await world.assert_right()


@pytest.mark.parametrize("last", range(8))
async def test_a_round_that_ends_at_any_write_is_finished_by_the_next(
    monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    world = World()
    await world.end(0.1, 40, 200)
    writes = 0

    def failing(name: str) -> Callable[..., Awaitable[None]]:
        write = getattr(world.cluster.rollups, name)

        async def attempt(*args: Any) -> None:
            nonlocal writes
            writes += 1
            if writes > last:
                raise Unavailable("MongoDB")
            await write(*args)

        return attempt

    with monkeypatch.context() as broken:
        for name in ("put", "settle"):
            broken.setattr(world.cluster.rollups, name, failing(name))
        with pytest.raises(Unavailable):
            await world.roller.roll(world.now)
    settled = await world.cluster.rollups.settled()
    assert settled is None or settled < Grain.MINUTE.floor(world.now), "nothing is called done that is not"
    await world.roll()
    await world.assert_right()


@given(st.dictionaries(st.integers(0, 90), st.integers(1, TOGETHER), max_size=40), st.data())
def test_minutes_are_read_together_while_that_is_little(there: dict[int, int], data: st.DataObject) -> None:
    runs = {START + minutes(n): count for n, count in there.items()}
    stale = sorted(data.draw(st.sets(st.sampled_from(sorted(runs)))) if runs else [])
    found = list(batches(stale, runs))

    assert [minute for batch in found for minute in batch] == stale
    for batch in found:
        read = sum(count for minute, count in runs.items() if batch[0] <= minute <= batch[-1])
        assert len(batch) == 1 or read <= TOGETHER


async def test_runs_that_are_forgotten_stay_in_the_sums() -> None:
    world = World()
    await world.end(3, 2)
    await world.roll()
    world.cluster.runs.forget()
    await world.roll()
    assert (await world.covered()).total.runs == 2


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("end"), st.floats(0, 14.9)),
        st.tuples(st.just("fail"), st.floats(0, 14.9)),
        st.tuples(st.just("roll"), st.floats(0, 3_000)),
        st.tuples(st.just("pause"), st.floats(0, 3_000)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(EVENTS)
async def test_whatever_happens_in_whatever_order_nothing_is_lost_or_counted_twice(
    events: list[tuple[str, float]],
) -> None:
    world = World()
    await world.roll()
    for what, amount in events:
        if what == "roll":
            await world.roll(minutes(amount))
        elif what == "pause":
            world.cluster.clock.advance(minutes(amount))
        else:
            make = a_run if what == "end" else a_failed_run
            await world.cluster.runs.insert(make(max(START, world.now - minutes(amount)), tenant=f"t{int(amount) % 2}"))
            await world.roll()
    await world.roll()
    await world.assert_right()


async def test_many_tenants_are_added_up_one_after_the_other_each_for_itself() -> None:
    world = World()
    for n in range(40):
        await world.end(n % 7, tenant=f"t{n}")
    await world.roll()
    await world.roll(minutes(100))
    await world.assert_right()
    assert (await world.covered("t3")).total.runs == 1


async def test_a_clock_that_went_back_loses_nothing() -> None:
    world = World()
    await world.end(1)
    world.cluster.clock.advance(minutes(80))
    await world.roll()
    world.cluster.clock.advance(-minutes(70))
    await world.end(1, 2, 9)
    await world.roll()
    for _ in range(12):
        await world.roll(minutes(20))
        await world.end(1)
    await world.roll()
    await world.assert_right()
