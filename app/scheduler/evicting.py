"""Have runs make way: it is written on their jobs, and their nodes are told to look."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from app.domain.control_transitions import request_control
from app.domain.errors import Conflict, NotFound
from app.domain.job import Job
from app.domain.states import JobStatus
from app.domain.transitions import Change, Stamp
from app.operations.control import control_job
from app.scheduler.preemption import Eviction
from app.services import Services

log = structlog.get_logger()
SCHEDULER = "scheduler"
"""The actor of a preemption."""


async def evict(services: Services, evictions: Sequence[Eviction]) -> list[Job]:
    """Ask it of these runs; those that have ended meanwhile, or of which a user wants something, are let be. Answers
    the jobs after it."""
    asked = []
    for eviction in evictions:
        try:
            asked.append(await _ask(services, eviction))
        except (Conflict, NotFound) as refusal:
            log.info("run.not_preempted", job_id=eviction.job_id, why=refusal.message)
    return asked


async def _ask(services: Services, eviction: Eviction) -> Job:
    def decide(job: Job, stamp: Stamp) -> Change | None:
        same = job.status is JobStatus.RUNNING and job.run_no == eviction.run_no
        if not same or job.control is not None:
            return None
        return request_control(job, "preempt", stamp, f"makes way for {eviction.beneficiary}")

    job = await control_job(services, eviction.job_id, decide, SCHEDULER)
    log.info("run.preempted", job_id=job.id, run_no=job.run_no, beneficiary=eviction.beneficiary)
    return job
