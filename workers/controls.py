"""What users want of live runs: read from the jobs themselves, never from a message.

Level-triggered: each look makes every run agree with its job as it is now, whatever was missed or repeated before. A
pause is carried out before it is told (the run is frozen, then its job is PAUSED), a resume is told before it is
carried out. A run whose job has gone on without it (another run, another state) is fenced: it is stopped and its end is
not told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from app.domain.control_transitions import as_asked, freeze, resume_in_place
from app.domain.job import Job
from app.domain.transitions import Change, Stamp
from app.operations.change import transition
from app.services import Services
from workers.live import LiveRun, LiveRuns
from workers.outcome import is_live
from workers.run import RunEnding

log = structlog.get_logger()
AGAIN_SECONDS = 0.25
"""Until the next try to freeze a run that has not begun yet."""
INLINE = "inline"
CONTROL_ENDINGS = {
    "cancel": RunEnding.CANCELLED,
    "release": RunEnding.RELEASED,
    "preempt": RunEnding.PREEMPTED,
    "prune": RunEnding.PRUNED,
}


class Controls:
    """Looks at the jobs of the live runs. `again` asks for another look soon."""

    def __init__(self, services: Services, runs: LiveRuns) -> None:
        self._services = services
        self._runs = runs
        self._looking = asyncio.Lock()
        self._again: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Act on every control that is written. Raises Unavailable when the store is away."""
        async with self._looking:
            live = [run for run in self._runs if _may_change(run)]
            if not live:
                return
            jobs = await self._services.jobs.get_many([run.key.job_id for run in live])
            acts = [self._agree(run, job) for run in live if (job := jobs.get(run.key.job_id)) and _may_change(run)]
            for done in await asyncio.gather(*acts, return_exceptions=True):
                if isinstance(done, BaseException):
                    raise done

    async def _agree(self, run: LiveRun, job: Job) -> None:
        """Make the run be as its job says."""
        if not is_live(job, run.key):
            log.warning("run.fenced", job_id=job.id, run_no=run.key.run_no, status=job.status, now=job.run_no)
            run.stop(RunEnding.FENCED, "the job has gone on without this run")
        elif job.control is not None and (ending := CONTROL_ENDINGS.get(job.control.action)):
            log.info("run.asked_to_end", job_id=job.id, run_no=job.run_no, why=ending, actor=job.control.actor)
            run.stop(ending, job.control.reason or f"{ending} by {job.control.actor}")
        elif job.frozen:
            await self._keep_frozen(run, job)
        elif job.wants("pause") and job.executor == INLINE:
            run.stop(RunEnding.RELEASED, "what runs inline cannot be frozen")
        elif job.wants("pause"):
            await self._freeze(run)
        elif run.frozen_since is not None:
            await self._thaw(run)

    async def _freeze(self, run: LiveRun) -> None:
        """Stop the run where it is, then say so; a user who has thought better meanwhile wins."""
        if run.frozen_since is None and not await run.runner.freeze(run.key):
            self._look_again()
            return
        run.frozen_since = run.frozen_since or asyncio.get_running_loop().time()
        log.info("run.frozen", job_id=run.key.job_id, run_no=run.key.run_no)
        after = await self._commit(run, _freeze, lambda job: not job.frozen and job.wants("pause"))
        if not after.frozen:
            await self._agree(run, after)

    async def _keep_frozen(self, run: LiveRun, job: Job) -> None:
        """Until its user resumes it, or it has held its resources for too long."""
        if job.wants("resume"):
            after = await self._commit(run, _resume, lambda job: job.frozen and job.wants("resume"))
            if not after.frozen:
                await self._thaw(run)
            return
        longest = self._services.settings.node.pause_hold.total_seconds()
        since = run.frozen_since or asyncio.get_running_loop().time()
        if asyncio.get_running_loop().time() - since >= longest:
            run.stop(RunEnding.RELEASED, f"it stood frozen on its node for {longest:g} s, the longest that it may")

    async def _thaw(self, run: LiveRun) -> None:
        run.frozen_since = None
        await run.runner.thaw(run.key)
        log.info("run.thawed", job_id=run.key.job_id, run_no=run.key.run_no)

    async def _commit(self, run: LiveRun, change: Callable[[Job, Stamp], Change], wanted: Callable[[Job], bool]) -> Job:
        def decide(job: Job, stamp: Stamp) -> Change | None:
            return change(job, as_asked(job, stamp)) if is_live(job, run.key) and wanted(job) else None

        return await transition(self._services, run.key.job_id, decide)

    def _look_again(self) -> None:
        if self._again is None or self._again.done():
            self._again = asyncio.create_task(self._soon(), name="controls.again")

    async def _soon(self) -> None:
        await asyncio.sleep(AGAIN_SECONDS)
        self._again = None
        try:
            await self.look()
        except Exception as error:  # noqa: BLE001  the next bell or beat looks again
            log.warning("controls.look_failed", why=repr(error))


def _freeze(job: Job, stamp: Stamp) -> Change:
    return freeze(job, stamp, job.control.reason if job.control else None)


def _resume(job: Job, stamp: Stamp) -> Change:
    return resume_in_place(job, stamp, job.control.reason if job.control else None)


def _may_change(run: LiveRun) -> bool:
    return not run.ending and run.stop_reason is None
