"""The leader's statistics: every ten seconds what ended is rolled up, once a minute it is looked how things stand. By
the store's clock, so that one leader's minutes are the next one's.

A look belongs to its minute and replaces an earlier one of it, so a new leader in the same minute counts nothing twice;
a minute without a leader has none. In its first minute a leader looks each round: a service that begins sees its nodes
come.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from app.domain.analytics.breakdown import EVERYONE
from app.domain.analytics.failure_counts import OTHER
from app.domain.analytics.rollups import DAY, Gauge, Grain
from app.domain.analytics.windows import Period, cover
from app.metering import MOST_TEMPLATES, RunMeter
from app.scheduler.rolling import Roller
from app.scheduler.sampling import sample
from app.scheduler.store_clock import store_now
from app.services import Services

EVERY = 10.0
"""Seconds between two rounds."""


class Statistics:
    """`meter` is told of what ended. Only the leader calls."""

    def __init__(self, services: Services, meter: RunMeter) -> None:
        self._services = services
        self._meter = meter
        self._roller = Roller(services, meter.ended)
        self._looked: datetime | None = None
        self._first: datetime | None = None
        self._term: int | None = None

    async def run_once(self, term: int = 0) -> None:
        """One round of this term. Raises Unavailable; the next one does what this one left."""
        now = await store_now(self._services)
        if term != self._term:
            self._meter.begin(now, await self._most_used(now))
            self._term, self._first = term, Grain.MINUTE.floor(now)
        await self._look(now)
        await self._roller.roll(now)
        self._meter.prune(now)

    async def _look(self, now: datetime) -> None:
        minute = Grain.MINUTE.floor(now)
        if minute != self._looked or minute == self._first:
            seen = {name: Gauge(float(value)) for name, value in (await sample(self._services, now)).items()}
            await self._services.rollups.see(minute, seen, now)
            self._looked = minute

    async def _most_used(self, now: datetime) -> list[str]:
        """Templates of the runs of the last day, those with most first."""
        rollups = self._services.rollups
        spans = cover(Period(Grain.HOUR.floor(now - DAY), now), await rollups.settled())
        runs: Counter[str] = Counter()
        for rollup in await rollups.read(spans, EVERYONE):
            for template, cell in rollup.runs.by["template"].items():
                runs[template] += cell.runs
        return [template for template, _ in runs.most_common(MOST_TEMPLATES) if template != OTHER]
