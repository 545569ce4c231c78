"""Writes down what live runs say: log lines, metric points, progress, in one round for all runs every quarter second.

A round writes only what is new, side by side, so that the stores can gather it; progress of a job at most once a
second. A run that says nothing is never written, and a run's end waits only for its own last lines. What a store could
not take is offered again in the next round; what it refuses (a run is untrusted and may say too much) is dropped.
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
        if not await self._written("logs", run, self._services.logs.append(run.key.job_id, run.key.run_no, lines)):
            run.logbook.give_back(lines)

    async def _append_points(self, run: LiveRun) -> None:
        points = run.record.take_points()
        append = self._services.metrics.append(run.key.job_id, run.key.run_no, points)
        if not await self._written("metrics", run, append):
            run.record.give_back(points)

    async def _save_progress(self, run: LiveRun) -> None:
        progress = run.record.progress(self._services.clock.now())
        if not await self._written("progress", run, self._services.jobs.save_progress(run.key.job_id, progress)):
            run.record.changed = True

    async def _written(self, what: str, run: LiveRun, write: Awaitable[object]) -> bool:
        """Whether it need not be offered again: it was taken, or the store refused it, which it would do each time."""
        try:
            await write
        except Unavailable as error:
            log.warning("scribe.postponed", what=what, job_id=run.key.job_id, store=error.store)
            return False
        except Exception:
            log.exception("scribe.refused", what=what, job_id=run.key.job_id, run_no=run.key.run_no)
        return True
