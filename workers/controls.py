"""What users want of live runs: read from the jobs themselves, never from a message.

A run whose job has gone on without it (another run, another state) is fenced: it is stopped and its end is not told.
"""

from __future__ import annotations

import structlog

from app.domain.job import Job
from app.domain.states import JobStatus
from app.services import Services
from workers.live import LiveRun, LiveRuns
from workers.run import RunEnding

log = structlog.get_logger()


class Controls:
    """Looks at the jobs of the live runs."""

    def __init__(self, services: Services, runs: LiveRuns) -> None:
        self._services = services
        self._runs = runs

    async def look(self) -> None:
        """Act on every control that is written. Raises Unavailable when the store is away."""
        live = [run for run in self._runs if not run.ending and run.stop_reason is None]
        if not live:
            return
        jobs = await self._services.jobs.get_many([run.key.job_id for run in live])
        for run in live:
            job = jobs.get(run.key.job_id)
            if not run.ending and job is not None:
                _act(run, job)


def _act(run: LiveRun, job: Job) -> None:
    if job.run_no != run.key.run_no or job.status is not JobStatus.RUNNING:
        log.warning("run.fenced", job_id=job.id, run_no=run.key.run_no, status=job.status, now=job.run_no)
        run.stop(RunEnding.FENCED, "the job has gone on without this run")
    elif job.control is not None and job.control.action == "cancel":
        log.info("run.cancel", job_id=job.id, run_no=job.run_no, actor=job.control.actor)
        run.stop(RunEnding.CANCELLED, job.control.reason or f"cancelled by {job.control.actor}")
