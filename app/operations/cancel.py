"""Cancel a job: at once while it waits, through its node while it is live. Cancelling twice is cancelling once."""

from __future__ import annotations

from app.domain.control_decisions import decide_cancel
from app.domain.job import Job
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
