"""Change the class of a job. Its order key stays, so that within the class it stands by its age."""

from __future__ import annotations

from app.domain.errors import InvalidTransition
from app.domain.job import Job
from app.domain.order_transitions import change_priority
from app.domain.priority import Priority
from app.domain.states import allowed_from
from app.domain.transitions import Change, Stamp
from app.operations.control import control_job
from app.services import Services


async def set_priority(
    services: Services,
    job_id: str,
    priority: Priority,
    actor: str,
    reason: str | None,
    expected_seq: int | None = None,
) -> Job:
    """The job after it. Asking for the class that it has is no change. What it lends to its ancestors follows.

    Raises NotFound, InvalidTransition for a job that has ended, PreconditionFailed when it is not at `expected_seq`.
    """
    lent = (await services.jobs.classes_waiting_on([job_id])).get(job_id)

    def decide(job: Job, stamp: Stamp) -> Change | None:
        if job.terminal:
            because = "it has ended; a retry may name another priority"
            raise InvalidTransition(job.id, job.status, job.status, allowed_from(job.status), because)
        return change_priority(job, priority, lent, stamp, reason)

    return await control_job(services, job_id, decide, actor, expected_seq)
