"""Move waiting jobs on when what they wait for has happened: parents ended, a start time came, a place is free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.domain.dependencies import Hopeless
from app.domain.job import Job
from app.domain.limits import limits_of
from app.domain.states import JobStatus
from app.domain.transitions import Change, become_eligible, fail_dependency
from app.operations.limits import decide_admission
from app.operations.readiness import is_eligible, is_ready, verdicts_on
from app.services import Services


async def decide_dependants(services: Services, ended: Iterable[str]) -> list[tuple[Job, Change]]:
    """The changes of the jobs that wait for these ended ones."""
    return await decide_waiting(services, await services.jobs.waiting_on(ended))


async def decide_waiting(services: Services, jobs: Sequence[Job]) -> list[tuple[Job, Change]]:
    """The changes of these jobs: QUEUED when nothing keeps them, FAILED when hopeless; others are left out. One that is
    held can only become hopeless. Of those that need a place in a limit, others may be first: then the changes
    are theirs."""
    verdicts = await verdicts_on(services, jobs)
    now = services.clock.now()
    decided, limited = [], []
    for job, verdict in zip(jobs, verdicts, strict=True):
        if isinstance(verdict, Hopeless) and (job.status is JobStatus.SUBMITTED or job.held):
            decided.append((job, fail_dependency(job, verdict.cause, services.stamp())))
        elif job.status is JobStatus.SUBMITTED and is_eligible(job, verdict, now):
            decided.append((job, become_eligible(job, services.stamp())))
        elif job.status is JobStatus.SUBMITTED and is_ready(job, verdict, now):
            limited.append(job)
    names = {name for job in limited for name in limits_of(job)}
    return decided + (await decide_admission(services, names, limited) if names else [])
