"""Cancel a job: at once while it waits, through its node while it is live. Cancelling twice is cancelling once."""

from __future__ import annotations

from app.domain.control_transitions import cancel_waiting, request_control
from app.domain.errors import InvalidTransition
from app.domain.job import Job
from app.domain.states import JobStatus, allowed_from
from app.domain.transitions import Change, Stamp
from app.operations.control import control_job
from app.services import Services


async def cancel(
    services: Services, job_id: str, actor: str, reason: str | None, expected_seq: int | None = None
) -> Job:
    """The job after it: CANCELLED, or RUNNING or frozen with the cancel on its way to the node.

    Raises NotFound, InvalidTransition for a job that ended otherwise, PreconditionFailed when it is not at
    `expected_seq`.
    """

    def decide(job: Job, stamp: Stamp) -> Change | None:
        return decide_cancel(job, stamp, reason)

    return await control_job(services, job_id, decide, actor, expected_seq)


def decide_cancel(job: Job, stamp: Stamp, reason: str | None) -> Change | None:
    """What a cancel means for a job in this state; None when it is cancelled or being cancelled already."""
    if job.status is JobStatus.CANCELLED or job.wants("cancel"):
        return None
    if job.terminal:
        raise InvalidTransition(job.id, job.status, JobStatus.CANCELLED, allowed_from(job.status))
    if job.status is JobStatus.RUNNING or job.frozen:
        return request_control(job, "cancel", stamp, reason)
    return cancel_waiting(job, stamp, reason)
