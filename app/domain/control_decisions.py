"""What a control means for a job in its state: the change, nothing where it is so already, or a refusal."""

from __future__ import annotations

from app.domain.control_transitions import cancel_waiting, hold, request_control
from app.domain.errors import InvalidTransition
from app.domain.job import Job
from app.domain.states import JobStatus, allowed_from
from app.domain.transitions import Change, Stamp

ENDS = "a job that has ended cannot be paused"


def decide_cancel(job: Job, stamp: Stamp, reason: str | None) -> Change | None:
    """What a cancel means for a job in this state; None when it is cancelled or being cancelled already."""
    if job.status is JobStatus.CANCELLED or job.wants("cancel"):
        return None
    if job.terminal:
        raise InvalidTransition(job.id, job.status, JobStatus.CANCELLED, allowed_from(job.status))
    if job.status is JobStatus.RUNNING or job.frozen:
        return request_control(job, "cancel", stamp, reason)
    return cancel_waiting(job, stamp, reason)


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


def refuse_while_cancelled(job: Job, wanted: JobStatus) -> None:
    """Raises InvalidTransition: nothing takes back a cancel."""
    if job.wants("cancel"):
        because = "it is being cancelled; retry it when it is CANCELLED"
        raise InvalidTransition(job.id, job.status, wanted, (JobStatus.CANCELLED,), because)
