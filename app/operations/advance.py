"""Move waiting jobs on when what they wait for has happened: parents ended, a start time came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from app.domain.dependencies import Hopeless, Met, Verdict, judge
from app.domain.job import Job
from app.domain.states import JobStatus
from app.domain.transitions import Change, become_eligible, fail_dependency
from app.services import Services


async def decide_dependants(services: Services, ended: Iterable[str]) -> list[tuple[Job, Change]]:
    """The changes of the jobs that wait for these ended ones."""
    return await decide_waiting(services, await services.jobs.waiting_on(ended))


async def decide_waiting(services: Services, jobs: Sequence[Job]) -> list[tuple[Job, Change]]:
    """The changes of these jobs: QUEUED when nothing keeps them, FAILED when hopeless; others are left out. One that is
    held can only become hopeless."""
    verdicts = await verdicts_on(services, jobs)
    now = services.clock.now()
    decided = []
    for job, verdict in zip(jobs, verdicts, strict=True):
        if isinstance(verdict, Hopeless) and (job.status is JobStatus.SUBMITTED or job.held):
            decided.append((job, fail_dependency(job, verdict.cause, services.stamp())))
        elif job.status is JobStatus.SUBMITTED and is_eligible(job, verdict, now):
            decided.append((job, become_eligible(job, services.stamp())))
    return decided


def is_eligible(job: Job, verdict: Verdict, now: datetime) -> bool:
    """Whether neither a parent nor its start time keeps a job from the queue."""
    return isinstance(verdict, Met) and (job.start_after is None or job.start_after <= now)


async def verdicts_on(services: Services, jobs: Sequence[Job]) -> list[Verdict]:
    """What the parents of each job say, with one look-up for all."""
    wanted = {parent for job in jobs for parent in job.dependencies}
    parents = await services.jobs.get_many(wanted) if wanted else {}
    return [judge(job, parents) for job in jobs]
