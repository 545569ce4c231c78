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

from app.domain.analytics.breakdown import Gathering
from app.domain.analytics.rollups import DAY, HOUR, Grain, rolled_up, rollups_of, starts
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
TOGETHER = 5_000
"""Runs of minutes that are made together."""
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
        begin, end = min(settled, until) - LATE, until + Grain.MINUTE.span
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
        for hour in self._complete(Grain.HOUR, [], settled, until):
            gathering = Gathering()
            async for runs in self._services.runs.ended(hour, hour + HOUR):
                gathering.add(runs)
            made = rollups_of(Grain.HOUR, hour, gathering.breakdowns())
            await self._rollups.put(made, self._services.clock.now())
        await self._make(Grain.DAY, self._complete(Grain.DAY, [], settled, until))
        await self._rollups.settle(until)

    async def _make_minutes(self, minutes: Sequence[datetime], counted: Mapping[datetime, int]) -> None:
        gathered = {minute: Gathering() for minute in minutes}
        async for runs in self._services.runs.ended(minutes[0], minutes[-1] + Grain.MINUTE.span):
            wanted = [(minute, run) for run in runs if (minute := Grain.MINUTE.floor(run.finished_at)) in gathered]
            for minute, run in wanted:
                gathered[minute].add([run])
            self._ended([run for _, run in wanted])
        made = [rollups_of(Grain.MINUTE, m, of.breakdowns(), counted[m]) for m, of in gathered.items()]
        await self._rollups.put([rollup for each in made for rollup in each], self._services.clock.now())

    def _complete(self, grain: Grain, stale: Sequence[datetime], settled: datetime, until: datetime) -> list[datetime]:
        """Stretches that are over, and end just now or hold a minute that was made anew."""
        touched = {grain.floor(minute) for minute in stale} | set(starts(grain, settled, until))
        return sorted(at for at in touched if at + grain.span <= until)

    async def _make(self, grain: Grain, stretches: Iterable[datetime]) -> None:
        for at in stretches:
            span = Span(FINER[grain], at, at + grain.span)
            for whose in await self._rollups.whose(span):
                parts = await self._rollups.read([span], whose, SAMPLED)
                await self._rollups.put([rolled_up(grain, at, whose, parts)], self._services.clock.now())


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
