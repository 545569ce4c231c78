"""Makes rollups of what ended: minutes from run summaries, hours from minutes, days from hours.

Everything here may be done twice, by two leaders at once, or half: a rollup is a function of what it is made from, and
replaces what was there. A minute is made again while more runs are found in it than it was made of, so the present one
grows, and what comes late is taken in. `settled` is moved on last, so that a crash before it only means the same again.

What is to be caught up and is too old for any window to ask about its minutes is made by the hour at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from app.domain.analytics.rollups import DAY, HOUR, Grain, Rollup, minute_of, rolled_up, starts
from app.domain.analytics.series import SAMPLED
from app.domain.analytics.windows import FINE, LONGEST, Span
from app.domain.records import RunSummary
from app.services import Services

LATE = timedelta(minutes=15)
"""So far back it is looked again each time. What comes later is counted when nobody led meanwhile, else not at all."""
STRETCH = timedelta(hours=6)
"""What is caught up in one go."""
PATIENCE = 5.0
"""Seconds of a round; the rest is the next one's."""
MINUTES_REACH = FINE + 2 * HOUR
"""How old minutes may be that a window asks about, and somewhat more."""
TOGETHER = 1_000
"""Runs that are read at once, where they did not end within one minute: some 30 ms, in which the leader does nothing
else."""
FINER = {Grain.HOUR: Grain.MINUTE, Grain.DAY: Grain.HOUR}


class Roller:
    """`ended` is told of the runs of every minute that is made, as often as it is."""

    def __init__(self, services: Services, ended: Callable[[Iterable[RunSummary]], None]) -> None:
        self._services = services
        self._rollups = services.rollups
        self._ended = ended

    async def roll(self, now: datetime) -> bool:
        """Make what is missing until now; False when there is more than a round can do. Raises Unavailable."""
        began, present = time.monotonic(), Grain.MINUTE.floor(now)
        settled = await self._rollups.settled() or await self._beginning(present)
        while True:
            until = min(settled + STRETCH, present)
            if until <= present - MINUTES_REACH:
                await self._advance_by_hours(settled, until)
            else:
                await self._advance(settled, until, behind=present - settled > HOUR)
            if until >= present:
                return True
            if time.monotonic() - began > PATIENCE:
                return False
            settled = until

    async def _beginning(self, present: datetime) -> datetime:
        """The day of the first run that a window can reach."""
        first = await self._services.runs.first_end()
        return present if first is None else Grain.DAY.floor(max(first, present - LONGEST - DAY))

    async def _advance(self, settled: datetime, until: datetime, *, behind: bool) -> None:
        """Minutes up to the one that begins at `until`, and hours and days that ended by then. `behind`: the minutes of
        an hour that was begun may be gone, and are made again."""
        begin, end = settled - LATE, until + Grain.MINUTE.span
        if behind:
            begin = Grain.HOUR.floor(begin)
        there = await self._services.runs.ends_by_minute(begin, end)
        made = await self._rollups.counted(begin, end)
        stale = sorted(minute for minute, runs in there.items() if runs > made.get(minute, 0))
        for minutes in batches(stale, there):
            await self._make_minutes(minutes, there)
        for grain in FINER:
            await self._make(grain, self._complete(grain, stale, settled, until))
        await self._rollups.settle(until)

    async def _advance_by_hours(self, settled: datetime, until: datetime) -> None:
        """Hours and days that ended by then."""
        hours = [at for at in starts(Grain.HOUR, settled, until) if at + HOUR <= until]
        there = await self._services.runs.ends_by_minute(Grain.HOUR.floor(settled), until)
        for hour in hours:
            minutes = {minute: runs for minute, runs in there.items() if Grain.HOUR.floor(minute) == hour}
            parts: list[Rollup] = []
            for batch in batches(sorted(minutes), minutes):
                runs = await self._services.runs.ended(batch[0], batch[-1] + Grain.MINUTE.span)
                parts += minute_of(batch[0], runs, sum(minutes[minute] for minute in batch))
            await self._rollups.put(rolled_up(Grain.HOUR, hour, parts), self._services.clock.now())
        await self._make(Grain.DAY, self._complete(Grain.DAY, [], settled, until))
        await self._rollups.settle(until)

    async def _make_minutes(self, minutes: Sequence[datetime], counted: Mapping[datetime, int]) -> None:
        runs: dict[datetime, list[RunSummary]] = {minute: [] for minute in minutes}
        for run in await self._services.runs.ended(minutes[0], minutes[-1] + Grain.MINUTE.span):
            if (minute := Grain.MINUTE.floor(run.finished_at)) in runs:
                runs[minute].append(run)
        self._ended(run for found in runs.values() for run in found)
        rollups = [rollup for m, found in runs.items() for rollup in minute_of(m, found, counted[m])]
        await self._rollups.put(rollups, self._services.clock.now())

    def _complete(self, grain: Grain, stale: Sequence[datetime], settled: datetime, until: datetime) -> list[datetime]:
        """Stretches that are over, and end just now or hold a minute that was made anew."""
        touched = {grain.floor(minute) for minute in stale} | set(starts(grain, settled, until))
        return sorted(at for at in touched if at + grain.span <= until)

    async def _make(self, grain: Grain, stretches: Iterable[datetime]) -> None:
        for at in stretches:
            parts = await self._rollups.all_in(Span(FINER[grain], at, at + grain.span), SAMPLED)
            await self._rollups.put(rolled_up(grain, at, parts), self._services.clock.now())


def batches(stale: Sequence[datetime], there: Mapping[datetime, int]) -> Iterator[list[datetime]]:
    """The stale minutes in their order, so many at a time that no more than `TOGETHER` runs ended from the first to the
    last of them, or one minute alone."""
    wanted, batch, runs = set(stale), list[datetime](), 0
    for minute in sorted(there):
        runs += there[minute]
        if batch and runs > TOGETHER:
            yield batch
            batch = []
        if not batch:
            runs = there[minute]
        if minute in wanted:
            batch.append(minute)
    if batch:
        yield batch
