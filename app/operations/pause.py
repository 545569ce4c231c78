"""Pause a job: a waiting one is held at once; a live one is frozen by its node, or released when it shall give its
resources back. Pausing twice is pausing once."""

from __future__ import annotations

from app.domain.control_decisions import decide_pause
from app.domain.job import Job
from app.domain.transitions import Change, Stamp
from app.operations.control import control_job
from app.services import Services


async def pause(
    services: Services,
    job_id: str,
    actor: str,
    reason: str | None,
    *,
    release: bool = False,
    expected_seq: int | None = None,
) -> Job:
    """The job after it: PAUSED when it waited, else with the pause on its way to the node.

    `release`: a live run leaves its node, with a checkpoint if it can make one, instead of being frozen there. What
    runs inline cannot be frozen, so it is always released. Raises NotFound, InvalidTransition for a job that has ended
    or is being cancelled, PreconditionFailed when it is not at `expected_seq`.
    """

    def decide(job: Job, stamp: Stamp) -> Change | None:
        return decide_pause(job, stamp, reason, release=release)

    return await control_job(services, job_id, decide, actor, expected_seq)
