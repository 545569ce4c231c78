"""Writes down what live runs say: log lines, metric points, progress, in one round for all runs every quarter second.

A round writes only what is new, side by side, so that the stores can gather it; progress of a job at most once a
second. A run that says nothing is never written, and a run's end waits only for its own last lines. What a store could
not take is offered again in the next round; what it refuses (a run is untrusted and may say too much) is dropped.
A run that has ended is still written until its end is stored: a worker may be killed while it keeps the run's files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import structlog

from app.domain.errors import Unavailable
from app.domain.job import Progress
from app.domain.records import LogLine
from app.lifecycle import Loop
from app.services import Services
from workers.live import LiveRun, LiveRuns
from workers.patience import FIRST_PAUSE, LONGEST_PAUSE

log = structlog.get_logger()
ROUND_SECONDS = 0.25
PROGRESS_SECONDS = 1.0
PIECES = 20
"""Most pieces of one log in a round: all that can wait of a run, so that none keeps the others waiting."""


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
        writes: list[Awaitable[bool]] = []
        for run in self._runs:
            writes += self._writes(run, now)
        await asyncio.gather(*writes)

    async def finish(self, run: LiveRun) -> None:
        """The run has ended: its last lines and points are written before its end is, however long a store is away."""
        run.logbook.close(run.record.step, self._services.clock.now())
        pause = FIRST_PAUSE
        while writes := self._lines_and_points(run):
            if not all(await asyncio.gather(*writes)):
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, 2 * pause)

    def _writes(self, run: LiveRun, now: float) -> list[Awaitable[bool]]:
        writes = self._lines_and_points(run)
        if not run.ending and run.record.changed and now - run.progress_saved_at >= PROGRESS_SECONDS:
            run.progress_saved_at = now
            writes.append(self._save_progress(run))
        return writes

    def _lines_and_points(self, run: LiveRun) -> list[Awaitable[bool]]:
        """Each answers whether it need not be done again."""
        writes: list[Awaitable[bool]] = []
        if run.logbook.size or run.logbook.surplus or run.logbook.writing.locked():
            writes.append(self._write_log(run))
        if run.record.has_points:
            writes.append(self._append_points(run))
        return writes

    async def _write_log(self, run: LiveRun) -> bool:
        async with run.logbook.writing:
            for _ in range(PIECES):
                if not (await self._append_lines(run) and await self._delete_surplus(run)):
                    return False
                if not run.logbook.size:
                    break
        return True

    async def _append_lines(self, run: LiveRun) -> bool:
        lines = run.logbook.take()
        if lines and not await self._written("logs", run, self._append(run, lines)):
            run.logbook.give_back(lines)
            return False
        return True

    async def _append(self, run: LiveRun, lines: list[LogLine]) -> None:
        await self._services.logs.append(run.key.job_id, run.key.run_no, lines)
        run.logbook.stored(lines)

    async def _delete_surplus(self, run: LiveRun) -> bool:
        surplus = run.logbook.surplus
        if surplus is None:
            return True
        delete = self._services.logs.delete_between(run.key.job_id, run.key.run_no, *surplus)
        if deleted := await self._written("surplus of logs", run, delete):
            run.logbook.deleted(surplus)
        return deleted

    async def _append_points(self, run: LiveRun) -> bool:
        points = run.record.take_points()
        append = self._services.metrics.append(run.key.job_id, run.key.run_no, points)
        if written := await self._written("metrics", run, append):
            return written
        run.record.give_back(points)
        return False

    async def _save_progress(self, run: LiveRun) -> bool:
        progress = run.record.progress(self._services.clock.now())
        if written := await self._written("progress", run, self._offer(run, progress)):
            return written
        run.record.changed = True
        return False

    async def _offer(self, run: LiveRun, progress: Progress) -> None:
        if not await self._services.jobs.save_progress(run.key.job_id, progress):
            self._services.refusals.note("progress")

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
