"""Whether a job may be queued: its parents, its start time, and the places that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.domain.dependencies import Met, Verdict, judge
from app.domain.job import Job
from app.domain.limits import holds_places, limits_of
from app.services import Services


def is_ready(job: Job, verdict: Verdict, now: datetime) -> bool:
    """Whether neither a parent nor its start time keeps a job from the queue."""
    return isinstance(verdict, Met) and (job.start_after is None or job.start_after <= now)


def is_eligible(job: Job, verdict: Verdict, now: datetime) -> bool:
    """Whether nothing keeps a job from the queue. One that has yet to take places in its limits waits for its turn,
    SUBMITTED."""
    return is_ready(job, verdict, now) and (not limits_of(job) or holds_places(job))


async def verdicts_on(services: Services, jobs: Sequence[Job]) -> list[Verdict]:
    """What the parents of each job say, with one look-up for all."""
    wanted = {parent for job in jobs for parent in job.dependencies}
    parents = await services.jobs.get_many(wanted) if wanted else {}
    return [judge(job, parents) for job in jobs]
