"""Pause a job: a waiting one is held at once; a live one is frozen by its node, or released when it shall give its
resources back. Pausing twice is pausing once."""

from __future__ import annotations

from app.domain.control_transitions import hold, request_control
from app.domain.errors import InvalidTransition
from app.domain.job import Job
from app.domain.states import JobStatus, allowed_from
from app.domain.transitions import Change, Stamp
from app.operations.control import control_job, refuse_while_cancelled
from app.services import Services

ENDS = "a job that has ended cannot be paused"


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


def decide_pause(job: Job, stamp: Stamp, reason: str | None, *, release: bool) -> Change | None:
    """What a pause means for a job in this state; None when it is so already, or asked already.

    A plain pause does not take back a release, and takes back a resume that has not happened yet.
    """
    if job.terminal:
        raise InvalidTransition(job.id, job.status, JobStatus.PAUSED, allowed_from(job.status), ENDS)
    refuse_while_cancelled(job, JobStatus.PAUSED)
    if job.status is not JobStatus.RUNNING and not job.frozen:
        return None if job.status is JobStatus.PAUSED else hold(job, stamp, reason)
    if job.wants("release"):
        return None
    if release or job.executor == "inline":
        return request_control(job, "release", stamp, reason)
    frozen_for_good = job.frozen and not job.wants("resume")
    return None if frozen_for_good or job.wants("pause") else request_control(job, "pause", stamp, reason)
