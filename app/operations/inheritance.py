"""Priority inheritance: a job is considered in the most urgent class of all that wait for it.

A change goes upwards, parent by parent, and stops where nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.job import Job
from app.domain.order_transitions import lend_priority
from app.domain.priority import RANK, Priority
from app.domain.states import WAITING, JobStatus
from app.domain.transitions import Change
from app.services import Services

BORROWERS = WAITING | {JobStatus.PAUSED}
"""States in which a lent class matters: what runs is not considered any more."""


async def decide_lending(services: Services, changed: Sequence[Job]) -> list[tuple[Job, Change]]:
    """The changes of the parents of jobs that came, went, or changed their class."""
    parents = {parent for job in changed for parent in job.dependencies}
    if not parents:
        return []
    found = await services.jobs.get_many(parents)
    return await decide_borrowing(services, list(found.values()))


async def decide_missed_lending(services: Services, waiting: Sequence[Job]) -> list[tuple[Job, Change]]:
    """The changes of the parents of these that are in a less urgent class than they are: whoever was to lend it went
    away, or took too long."""
    wanted = {parent for job in waiting for parent in job.dependencies}
    found = await services.jobs.get_many(wanted) if wanted else {}
    pairs = ((job, found[parent]) for job in waiting for parent in job.dependencies if parent in found)
    less = {parent.id: parent for job, parent in pairs if _is_less(parent.effective_priority, job.effective_priority)}
    return await decide_borrowing(services, list(less.values()))


def _is_less(one: Priority, other: Priority) -> bool:
    return RANK[one] > RANK[other]


async def decide_borrowing(services: Services, jobs: Sequence[Job]) -> list[tuple[Job, Change]]:
    """The changes of jobs that wait, and may have another class through those that wait for them."""
    waiting = [job for job in jobs if job.status in BORROWERS]
    lent = await services.jobs.classes_waiting_on([job.id for job in waiting]) if waiting else {}
    decided = ((job, lend_priority(job, lent.get(job.id), services.stamp())) for job in waiting)
    return [(job, change) for job, change in decided if change is not None]
