"""The edges that users take: cancel, hold, pause, release, resume, retry. One function an edge, as in `transitions`.

What a live run must do is written on the job (`request_control`) for its node to find, which then takes the edge itself
(`freeze`, `release`, `resume_in_place`); what only waits is changed at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.domain.job import CONTROLS, Control, Job
from app.domain.states import JobStatus
from app.domain.transitions import Change, RunEnd, Stamp, attempts_used, end_run, make_change, off_node, refuse_unless


def cancel_waiting(job: Job, stamp: Stamp, detail: str | None) -> Change:
    """SUBMITTED, QUEUED, SCHEDULED, PAUSED (not frozen) or RETRYING → CANCELLED at once."""
    refuse_unless(not job.frozen, job, JobStatus.CANCELLED)
    gone = off_node() if job.status is JobStatus.SCHEDULED else {}
    return make_change(job, JobStatus.CANCELLED, "cancelled", stamp, detail, finished_at=stamp.at, **gone)


def hold(job: Job, stamp: Stamp, detail: str | None) -> Change:
    """SUBMITTED, QUEUED, SCHEDULED or RETRYING → PAUSED: out of the queue and off its node; the order key stays."""
    held = {**off_node(), "paused_from": job.status, "retry_at": None}
    return make_change(job, JobStatus.PAUSED, "hold", stamp, detail, **held)


def request_control(job: Job, action: str, stamp: Stamp, detail: str | None) -> Change:
    """RUNNING or frozen, and it stays so: what is asked (`CONTROLS`) is written for the node to find.

    To resume what runs is to take back what was asked of it: nothing stays written.
    """
    assert action in CONTROLS, action
    refuse_unless(job.on_node, job, job.status)
    taken_back = action == "resume" and not job.frozen
    control = None if taken_back else Control(action, stamp.actor, detail, stamp.at)
    return make_change(job, job.status, "control_requested", stamp, detail, control=control)


def as_asked(job: Job, stamp: Stamp) -> Stamp:
    """The stamp of a change that carries out what a user asked of a live run: it is theirs."""
    return replace(stamp, actor=job.control.actor) if job.control else stamp


def freeze(job: Job, stamp: Stamp, detail: str | None) -> Change:
    """RUNNING → PAUSED: its processes are stopped where they are; node and allocation stay."""
    return make_change(job, JobStatus.PAUSED, "paused", stamp, detail, control=None, paused_from=JobStatus.RUNNING)


def resume_in_place(job: Job, stamp: Stamp, detail: str | None) -> Change:
    """Frozen → RUNNING: its processes go on."""
    refuse_unless(job.frozen, job, JobStatus.RUNNING)
    return make_change(job, JobStatus.RUNNING, "resumed", stamp, detail, control=None)


def release(
    job: Job, end: RunEnd, stamp: Stamp, detail: str | None, outcome: str | None = None, **fields: Any
) -> Change:
    """RUNNING or frozen → PAUSED without a node: the run ended for it, no attempt used; its checkpoint is kept.

    `outcome`: how the run ended when it failed by itself, which uses an attempt. `fields`: what is different then.
    """
    gone = {"node_id": None, "paused_from": JobStatus.RUNNING}
    return end_run(job, JobStatus.PAUSED, "released", end, stamp, outcome=outcome, detail=detail, **gone, **fields)


def resume_waiting(job: Job, stamp: Stamp, detail: str | None, *, eligible: bool) -> Change:
    """Held or released → QUEUED, or SUBMITTED while its dependencies or its start time hold it. The order key stays."""
    refuse_unless(not job.frozen, job, JobStatus.QUEUED)
    if eligible:
        return make_change(job, JobStatus.QUEUED, "resume_eligible", stamp, detail, queued_at=stamp.at)
    return make_change(job, JobStatus.SUBMITTED, "resume_not_eligible", stamp, detail)


def retry_manually(
    job: Job, stamp: Stamp, detail: str | None, *, eligible: bool, changed: dict[str, Any] | None = None
) -> Change:
    """FAILED, TIMEOUT or CANCELLED → QUEUED, or SUBMITTED while something holds it: a new attempt, the history stays.

    The retry policy counts anew; a suspect stays one. `changed`: attributes that the user asked to be different
    (parameters, steps, resources, priority). A queue deadline that has passed binds no more.
    """
    passed = job.deadline is not None and job.deadline <= stamp.at
    fields = {
        "attempt_base": attempts_used(job),
        "finished_at": None,
        "error": None,
        "result": None,
        "progress": None,
        "node_id": None,
        "queued_at": stamp.at if eligible else None,
        **({"queue_deadline": None} if passed else {}),
        **(changed or {}),
    }
    to, reason = (JobStatus.QUEUED, "manual_retry") if eligible else (JobStatus.SUBMITTED, "manual_retry_not_eligible")
    return make_change(job, to, reason, stamp, detail, **fields)
