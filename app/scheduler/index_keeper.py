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

from app.domain.queueing import Ticket
from app.domain.states import JobStatus
from app.metrics import Metrics
from app.scheduler.loading import load
from app.services import Services

log = structlog.get_logger()
COST_FACTOR = 20.0
EVERY = 1.0
"""Seconds between two looks at the epoch."""


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
            await self._add_missing()
            await self._remove_stale()
            ended = time.monotonic()
            self._next_sweep = ended + COST_FACTOR * (ended - began)

    async def _rebuild(self) -> None:
        indexed = await self._services.queue.rebuild(self._services.jobs.queued_tickets())
        self._metrics.index_repairs.labels("rebuilt").inc()
        log.warning("index.rebuilt", jobs=indexed)

    async def _add_missing(self) -> None:
        async for tickets in self._services.jobs.queued_tickets():
            if self._rebuilding.locked():
                return
            await self._add(tickets)

    async def _add(self, tickets: Sequence[Ticket]) -> None:
        """Loaded again before they are added: the sweep is slower than the scheduler."""
        absent = await self._services.queue.missing([t.job_id for t in tickets])
        if not absent:
            return
        jobs = (await load(self._services, absent)).jobs
        queued = {job.id for job in jobs.values() if job.status is JobStatus.QUEUED}
        lost = [t for t in tickets if t.job_id in queued]
        if lost:
            await self._services.queue.enqueue(lost)
            self._metrics.index_repairs.labels("missing").inc(len(lost))
            log.warning("index.missing_added", jobs=len(lost))

    async def _remove_stale(self) -> None:
        present = [job_id async for batch in self._services.queue.all_ids() for job_id in batch]
        if not present or self._rebuilding.locked():
            return
        queued = await self._services.jobs.in_state([JobStatus.QUEUED])
        suspects = [job_id for job_id in present if job_id not in queued]
        if not suspects:
            return
        loaded = await load(self._services, suspects)
        queued_now = {job.id for job in loaded.jobs.values() if job.status is JobStatus.QUEUED}
        stale = [job_id for job_id in suspects if job_id not in queued_now and job_id not in loaded.faults]
        removed = await self._services.queue.dequeue(stale) if stale else 0
        if removed:
            self._metrics.index_repairs.labels("stale").inc(removed)
            log.warning("index.stale_removed", jobs=removed)
