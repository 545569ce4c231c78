"""Scores the service's own start estimates, and learns their windows: the leader's part of `app.domain.calibration`.

Estimates that an event outside has overtaken (a reorder, another priority, a cancel, a tenth of the cluster coming or
going) are counted apart. What is learned is kept in the store every few seconds, and read when a term begins.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from app.domain.calibration import Announcement, Calibration, Factors, band_of, factors, learn
from app.domain.errors import Unavailable
from app.domain.priority import Priority
from app.domain.resources import Vector
from app.metrics import Metrics
from app.services import Services

log = structlog.get_logger()
KEEP_EVERY = 5.0
WAITS_OVER = timedelta(hours=1)
WAITS_MAX_AGE = 30.0
MOST_LATE = 1_000
OVERTAKEN = 0.1
"""Share of the capacity whose coming or going makes earlier estimates worthless."""


class Calibrator:
    """The leader's memory of how good its estimates were."""

    def __init__(self, services: Services, metrics: Metrics) -> None:
        self._services = services
        self._metrics = metrics
        self._calibration: Calibration | None = None
        self._kept: Calibration | None = None
        self._term = -1
        self._capacity: Vector | None = None
        self._changed_at = 0.0
        self._kept_at = 0.0
        self._looked = 0.0
        self._late: list[str] = []
        """Jobs that started before what was said of them had come."""
        self._keeping: asyncio.Task[None] | None = None

    async def begin(self, term: int) -> None:
        """Read what was learned, when the term is a new one."""
        if self._calibration is None or term != self._term:
            self._kept = self._calibration = await self._services.scheduler.calibration()
            self._term = term

    def windows(self) -> Factors:
        return factors(self._calibration or Calibration())

    async def mean_waits(self) -> dict[Priority, float]:
        """Of the last hour, by class: what a naive forecast says."""
        since = self._services.clock.now() - WAITS_OVER
        return await self._services.recent.get(
            "mean_waits", lambda: self._services.jobs.mean_waits(since), WAITS_MAX_AGE
        )

    def capacity_is(self, capacity: Vector, now: float) -> None:
        """Take note of the cluster's size, `now` in seconds as announcements have it."""
        if self._capacity is not None and _differ(self._capacity, capacity):
            self._changed_at = now
        self._capacity = capacity

    async def started(self, job_ids: Iterable[str], at: datetime) -> None:
        """These jobs have just got their places. What goes wrong here fails no cycle."""
        new = list(job_ids)
        try:
            said = await self._services.announcements.take([*self._late, *new]) if new or self._late else {}
            gone = await self._services.announcements.left() if self._due() else []
        except Unavailable as error:
            log.warning("calibration.store_away", store=error.store)
            return
        self._late = [job_id for job_id in new if job_id not in said][:MOST_LATE]
        for announcement in (*said.values(), *gone):
            self._learn(announcement, at.timestamp())
        if self._calibration is not self._kept:
            self._keep()

    def _learn(self, said: Announcement, now: float) -> None:
        if said.disturbed is None and said.at < self._changed_at:
            said = replace(said, disturbed="capacity_changed")
        before = self._calibration or Calibration()
        self._calibration = learn(before, said, max(0.0, now - said.at))
        tally = self._calibration.tally.results
        new = next(key for key, n in tally.items() if n != before.tally.results.get(key, 0))
        self._metrics.start_estimate_hits.labels(said.priority.value, str(band_of(said.start)), new[2]).inc()

    def _due(self) -> bool:
        """Once a second is enough for those that left."""
        moment = time.monotonic()
        if moment - self._looked < 1.0:
            return False
        self._looked = moment
        return True

    def _keep(self) -> None:
        busy = self._keeping is not None and not self._keeping.done()
        if busy or time.monotonic() - self._kept_at < KEEP_EVERY:
            return
        self._kept_at = time.monotonic()
        self._keeping = asyncio.create_task(self._write(), name="scheduler.calibration")

    async def _write(self) -> None:
        calibration = self._calibration
        if calibration is None:
            return
        try:
            await self._services.scheduler.keep_calibration(calibration, self._term)
            self._kept = calibration
        except Unavailable as error:
            log.warning("calibration.store_away", store=error.store)

    def forget(self) -> None:
        """This process leads no more."""
        self._calibration = self._kept = self._capacity = None
        if self._keeping is not None:
            self._keeping.cancel()


def _differ(before: Vector, after: Vector) -> bool:
    pairs = zip(before.parts(), after.parts(), strict=True)
    return any(abs(a - b) > OVERTAKEN * max(a, b) for b, a in pairs)
