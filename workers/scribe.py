"""Writes down what live runs say: log lines, metric points, progress, in one round for all runs every quarter second.

A round writes only what is new, side by side, so that the stores can gather it; progress of a job at most once a
second. A run that says nothing is never written, and a run's end waits only for its own last lines. What a store did
not take is offered again in the next round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import structlog

from app.domain.errors import Unavailable
from app.lifecycle import Loop
from app.services import Services
from workers.live import LiveRun, LiveRuns

log = structlog.get_logger()
ROUND_SECONDS = 0.25
PROGRESS_SECONDS = 1.0


class Scribe(Loop):
    """The rounds, and the last writes of a run (`finish`)."""

    def __init__(self, services: Services, runs: LiveRuns) -> None:
        super().__init__("scribe")
        self._services = services
        self._runs = runs

    async def run(self) -> None:
        while await self.pause(ROUND_SECONDS):
            await self.round(asyncio.get_running_loop().time())

    async def round(self, now: float) -> None:
        """Write what is new of every run; `now` on the loop's clock."""
        writes: list[Awaitable[None]] = []
        for run in self._runs:
            if not run.ending:
                writes += self._writes(run, now)
        await asyncio.gather(*writes)

    async def finish(self, run: LiveRun) -> None:
        """The run has ended: its last lines and points are written before its end is. Never raises for a store."""
        run.logbook.close(run.record.step, self._services.clock.now())
        await asyncio.gather(*self._lines_and_points(run))

    def _writes(self, run: LiveRun, now: float) -> list[Awaitable[None]]:
        writes = self._lines_and_points(run)
        if run.record.changed and now - run.progress_saved_at >= PROGRESS_SECONDS:
            run.progress_saved_at = now
            writes.append(self._save_progress(run))
        return writes

    def _lines_and_points(self, run: LiveRun) -> list[Awaitable[None]]:
        writes: list[Awaitable[None]] = []
        if run.logbook.size:
            writes.append(self._append_lines(run))
        if run.record.has_points:
            writes.append(self._append_points(run))
        return writes

    async def _append_lines(self, run: LiveRun) -> None:
        lines = run.logbook.take()
        try:
            await self._services.logs.append(run.key.job_id, run.key.run_no, lines)
        except Unavailable as error:
            run.logbook.give_back(lines)
            log.warning("scribe.postponed", what="logs", job_id=run.key.job_id, store=error.store)

    async def _append_points(self, run: LiveRun) -> None:
        points = run.record.take_points()
        try:
            await self._services.metrics.append(run.key.job_id, run.key.run_no, points)
        except Unavailable as error:
            run.record.give_back(points)
            log.warning("scribe.postponed", what="metrics", job_id=run.key.job_id, store=error.store)

    async def _save_progress(self, run: LiveRun) -> None:
        progress = run.record.progress(self._services.clock.now())
        try:
            await self._services.jobs.save_progress(run.key.job_id, progress)
        except Unavailable as error:
            run.record.changed = True
            log.warning("scribe.postponed", what="progress", job_id=run.key.job_id, store=error.store)
