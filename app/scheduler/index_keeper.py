"""Make the queue index agree with the store, both ways. A QUEUED document *is* the pending message.

When the index lost its data (its epoch is gone) it is rebuilt beside the old one; that is looked for each second, and a
sweep under way ends for it. Otherwise a sweep adds whatever is queued and absent, and removes whatever is present and
not queued. A sweep over many jobs takes time, so the next one waits a multiple of what the last one took.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from app.domain.queueing import ticket_of
from app.domain.states import JobStatus
from app.metrics import Metrics
from app.scheduler.loading import load
from app.services import Services

log = structlog.get_logger()
COST_FACTOR = 20.0
EVERY = 1.0
"""Seconds between two looks at the epoch."""
PART = 1_000
"""Jobs that are added at a time."""


class IndexKeeper:
    """Looks after the index."""

    def __init__(self, services: Services, metrics: Metrics) -> None:
        self._services = services
        self._metrics = metrics
        self._next_sweep = 0.0
        self._rebuilding = asyncio.Lock()

    async def restore(self) -> None:
        """Rebuild it if its data is lost."""
        if await self._services.queue.epoch() is None:
            async with self._rebuilding:
                if await self._services.queue.epoch() is None:
                    await self._rebuild()

    async def keep(self) -> None:
        """Rebuild it if its data is lost, then sweep if a sweep is due."""
        await self.restore()
        began = time.monotonic()
        if began >= self._next_sweep:
            await self._sweep()
            ended = time.monotonic()
            self._next_sweep = ended + COST_FACTOR * (ended - began)

    async def _rebuild(self) -> None:
        indexed = await self._services.queue.rebuild(self._services.jobs.queued_tickets())
        self._metrics.index_repairs.labels("rebuilt").inc()
        log.warning("index.rebuilt", jobs=indexed)

    async def _sweep(self) -> None:
        """What is there and what should be are not read in one moment, so whatever differs is looked at again."""
        present = {job_id async for batch in self._services.queue.all_ids() for job_id in batch}
        queued = await self._services.jobs.in_state([JobStatus.QUEUED])
        if self._rebuilding.locked():
            return
        lacking = [job_id for job_id in queued if job_id not in present]
        for start in range(0, len(lacking), PART):
            await self._add(lacking[start : start + PART])
        await self._remove([job_id for job_id in present if job_id not in queued])

    async def _add(self, suspects: Sequence[str]) -> None:
        absent = await self._services.queue.missing(suspects)
        loaded = await load(self._services, absent)
        lost = [ticket_of(job) for job in loaded.jobs.values() if job.status is JobStatus.QUEUED]
        if lost:
            await self._services.queue.enqueue(lost)
            self._metrics.index_repairs.labels("missing").inc(len(lost))
            log.warning("index.missing_added", jobs=len(lost))

    async def _remove(self, suspects: Sequence[str]) -> None:
        loaded = await load(self._services, suspects)
        queued = {job.id for job in loaded.jobs.values() if job.status is JobStatus.QUEUED}
        stale = [job_id for job_id in suspects if job_id not in queued and job_id not in loaded.faults]
        removed = await self._services.queue.dequeue(stale) if stale else 0
        if removed:
            self._metrics.index_repairs.labels("stale").inc(removed)
            log.warning("index.stale_removed", jobs=removed)
