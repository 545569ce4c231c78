"""Cancel a job: at once while it waits, through its node while it runs. Cancelling twice is cancelling once."""

from __future__ import annotations

from app.domain.errors import InvalidTransition, PreconditionFailed
from app.domain.job import Job
from app.domain.ports import node_bell
from app.domain.states import JobStatus, allowed_from
from app.domain.transitions import Change, Stamp, cancel_waiting, request_cancel
from app.operations.change import transition
from app.services import Services


async def cancel(
    services: Services, job_id: str, actor: str, reason: str | None, expected_seq: int | None = None
) -> Job:
    """The job after it: CANCELLED, or RUNNING with the cancel on its way to the node.

    Raises NotFound, InvalidTransition for a job that ended otherwise, PreconditionFailed when it is not at
    `expected_seq`.
    """

    def decide(job: Job, stamp: Stamp) -> Change | None:
        if expected_seq is not None and job.seq != expected_seq:
            raise PreconditionFailed(str(job.seq), str(expected_seq))
        return decide_cancel(job, stamp, reason)

    job = await transition(services, job_id, decide, actor)
    if job.status is JobStatus.RUNNING and job.node_id is not None:
        await services.bells.ring(node_bell(job.node_id))
    return job


def decide_cancel(job: Job, stamp: Stamp, reason: str | None) -> Change | None:
    """What a cancel means for a job in this state; None when it is cancelled or being cancelled already."""
    if job.status is JobStatus.CANCELLED or (job.control is not None and job.control.action == "cancel"):
        return None
    if job.terminal:
        raise InvalidTransition(job.id, job.status, JobStatus.CANCELLED, allowed_from(job.status))
    if job.status is JobStatus.RUNNING:
        return request_cancel(job, stamp, reason)
    return cancel_waiting(job, stamp, reason)
