"""One function per edge. Each takes a loaded job and a stamp and returns a frozen `Change`, or raises
InvalidTransition.

A change is decided on a loaded job and applied by compare-and-set on its `seq`; nothing like `update(job, **fields)`
exists. `apply` is what the store does, done in memory. Here are the edges that time, the scheduler and runs take; those
that users take are in `control_transitions`, and both are made by `make_change` and `end_run`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from app.domain.dependencies import why_broken
from app.domain.errors import HistoryFull, InvalidTransition
from app.domain.failures import with_fingerprint
from app.domain.job import Attempt, Entry, Job, JobError
from app.domain.json import Json
from app.domain.states import TERMINAL, Edge, JobStatus, allowed_from, is_allowed

MAX_USER_HISTORY = 1_000
SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a change is made, by whom, and its identity (`op`, unique over all processes)."""

    at: datetime
    actor: str
    op: str


@dataclass(frozen=True, slots=True)
class Change:
    """A decided transition: holds only while the job is still at `seq`. `fields` are attributes of Job."""

    job_id: str
    seq: int
    entry: Entry
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What is known of a run that ended: when it started, its node, and what it used (MiB, seconds)."""

    peak_memory_mib: float | None = None
    cpu_seconds: float | None = None
    result: Mapping[str, Json] | None = None
    error: JobError | None = None
    checkpoint: str | None = None


def apply(job: Job, change: Change) -> Job:
    """The job after the change; the same as what the store writes."""
    assert (change.job_id, change.seq) == (job.id, job.seq), "a change belongs to one version of one job"
    entry = change.entry
    return replace(job, **change.fields, status=entry.to, seq=entry.seq, history=(*job.history, entry))


def first_entry(to: JobStatus, stamp: Stamp) -> Entry:
    """The insertion as history sees it."""
    return Entry(1, None, to, "submitted", stamp.at, stamp.actor, 0, 0, None, stamp.op)


def make_change(job: Job, to: JobStatus, reason: str, stamp: Stamp, detail: str | None = None, **fields: Any) -> Change:
    """The change along the edge (state, reason, to). Raises InvalidTransition where there is none, and HistoryFull."""
    if not is_allowed(Edge(job.status, reason, to)):
        raise InvalidTransition(job.id, job.status, to, allowed_from(job.status))
    carried_out = job.control is not None and reason != "control_requested"
    if stamp.actor != SYSTEM and not carried_out and job.seq >= MAX_USER_HISTORY:
        raise HistoryFull(job.id, MAX_USER_HISTORY)
    if job.status is JobStatus.PAUSED and to is not JobStatus.PAUSED:
        fields["paused_from"] = None
    attempt, run_no = fields.get("attempt", job.attempt), fields.get("run_no", job.run_no)
    entry = Entry(job.seq + 1, job.status, to, reason, stamp.at, stamp.actor, attempt, run_no, detail, stamp.op)
    return Change(job.id, job.seq, entry, fields)


def refuse_unless(condition: bool, job: Job, to: JobStatus) -> None:
    """Raises InvalidTransition: the table has the edge, but not for a job that is PAUSED in this way."""
    if not condition:
        raise InvalidTransition(job.id, job.status, to, allowed_from(job.status))


def become_eligible(job: Job, stamp: Stamp) -> Change:
    """SUBMITTED → QUEUED: dependencies are met and the start time has come."""
    return make_change(job, JobStatus.QUEUED, "eligible", stamp, queued_at=stamp.at)


def place(job: Job, node_id: str, gpu_indices: tuple[int, ...], stamp: Stamp) -> Change:
    """QUEUED → SCHEDULED: resources are reserved on a node under the next `run_no`."""
    return make_change(
        job,
        JobStatus.SCHEDULED,
        "placed",
        stamp,
        node_id,
        node_id=node_id,
        gpu_indices=gpu_indices,
        run_no=job.run_no + 1,
        scheduled_at=stamp.at,
    )


def start(job: Job, stamp: Stamp) -> Change:
    """SCHEDULED → RUNNING: the node claimed the run."""
    return make_change(
        job, JobStatus.RUNNING, "started", stamp, job.node_id,
        attempt=attempts_used(job) + 1, started_at=stamp.at, progress=None, error=None, control=None,
    )  # fmt: skip


def attempts_used(job: Job) -> int:
    """Failures of the user's own code, ever."""
    return sum(a.outcome in {"error", "permanent", "timeout", "out_of_memory", "stalled"} for a in job.attempts)


def lose_dispatch(job: Job, stamp: Stamp) -> Change:
    """SCHEDULED → QUEUED: never started; not an attempt."""
    return make_change(job, JobStatus.QUEUED, "dispatch_lost", stamp, job.node_id, **off_node())


def complete(job: Job, end: RunEnd, stamp: Stamp) -> Change:
    """RUNNING → COMPLETED with the result."""
    return end_run(job, JobStatus.COMPLETED, "completed", end, stamp, result=end.result, error=None)


def prune(job: Job, end: RunEnd, stamp: Stamp, detail: str | None) -> Change:
    """RUNNING → COMPLETED before its end, with what it has reported; no failure, and never tried again."""
    return end_run(job, JobStatus.COMPLETED, "pruned", end, stamp, result=end.result, error=None, detail=detail)


def fail(job: Job, reason: str, end: RunEnd, stamp: Stamp) -> Change:
    """RUNNING → FAILED: `error`, `permanent`, `out_of_memory`, `worker_lost`, `stalled` or `poisoned`."""
    return end_run(job, JobStatus.FAILED, reason, end, stamp, error=end.error)


def time_out(job: Job, end: RunEnd, stamp: Stamp) -> Change:
    """RUNNING → TIMEOUT: a step's or the job's time limit passed."""
    return end_run(job, JobStatus.TIMEOUT, "timeout", end, stamp, error=end.error)


def retry_later(job: Job, reason: str, end: RunEnd, delay: timedelta, stamp: Stamp, **fields: Any) -> Change:
    """RUNNING → RETRYING: another run follows after the delay. `fields`: what is different then, such as resources."""
    retry_at = stamp.at + delay
    return end_run(job, JobStatus.RETRYING, reason, end, stamp, error=end.error, retry_at=retry_at, **fields)


def lose_worker(job: Job, end: RunEnd, stamp: Stamp, *, crashed: bool) -> Change:
    """RUNNING or frozen → RETRYING at once (`worker_lost`), or FAILED: the run is gone with its worker.

    `crashed`: there is evidence that the worker crashed, which counts as a loss; a drain, a shutdown or a lease that
    ran out do not. A suspect ran alone, so that a crash under it ends it as `poisoned`. No attempt is used.
    """
    losses = job.infra_losses + crashed
    if crashed and job.suspect:
        return end_run(job, JobStatus.FAILED, "poisoned", end, stamp, error=end.error, infra_losses=losses)
    if "worker_lost" not in job.retry_policy.retry_on:
        return end_run(job, JobStatus.FAILED, "worker_lost", end, stamp, error=end.error, infra_losses=losses)
    return retry_later(job, "worker_lost", end, timedelta(0), stamp, infra_losses=losses)


def requeue(job: Job, reason: str, end: RunEnd, stamp: Stamp) -> Change:
    """RUNNING → QUEUED at once, no attempt used: `preempted`, `drained` or `checkpointed`."""
    times = job.preempted + (reason == "preempted")
    return end_run(job, JobStatus.QUEUED, reason, end, stamp, queued_at=stamp.at, preempted=times)


def finish_cancel(job: Job, end: RunEnd, stamp: Stamp, detail: str | None) -> Change:
    """RUNNING or frozen → CANCELLED: nothing of the run lives any more."""
    return end_run(job, JobStatus.CANCELLED, "cancelled", end, stamp, detail=detail)


def end_run(
    job: Job, to: JobStatus, reason: str, end: RunEnd, stamp: Stamp, *, outcome: str | None = None, **fields: Any
) -> Change:
    """The end of a live run: an attempt is recorded, the allocation is left. The node stays named on it.

    `outcome` of the run: the reason of the change, unless it is said.
    """
    refuse_unless(job.on_node, job, to)
    ended, memory, seconds = outcome or reason, end.peak_memory_mib, end.cpu_seconds
    attempt = Attempt(
        job.attempt, job.run_no, job.node_id, job.started_at, stamp.at, ended, memory, seconds, job.resources
    )
    fields.setdefault("detail", end.error.message[:500] if end.error else None)
    if to in TERMINAL:
        fields["finished_at"] = stamp.at
    if to is not JobStatus.COMPLETED and end.checkpoint:
        fields["checkpoint"] = end.checkpoint
    left = {"gpu_indices": (), "control": None, "attempts": (*job.attempts, attempt)}
    return make_change(job, to, reason, stamp, **{**left, **fields})


def off_node() -> dict[str, Any]:
    """Fields of a job that leaves a node on which nothing of it ran."""
    return {"gpu_indices": (), "control": None, "node_id": None}


def retry_now(job: Job, stamp: Stamp) -> Change:
    """RETRYING → QUEUED: the delay is over. The order key stays."""
    return make_change(job, JobStatus.QUEUED, "retry_due", stamp, queued_at=stamp.at, retry_at=None)


def fail_dependency(job: Job, cause: str, stamp: Stamp) -> Change:
    """Waiting → FAILED: its dependency can no longer be met; `cause` is the ancestor where that began."""
    error = with_fingerprint(JobError("dependency_failed", why_broken(job.dependency_type, cause)))
    return make_change(job, JobStatus.FAILED, "dependency_failed", stamp, cause, finished_at=stamp.at, error=error)


def pass_queue_deadline(job: Job, stamp: Stamp) -> Change:
    """Waiting → TIMEOUT: `queue_deadline` passed."""
    message = f"did not start within {job.queue_deadline or 0:g} s of its submission"
    error = with_fingerprint(JobError("queue_deadline", message))
    return make_change(job, JobStatus.TIMEOUT, "queue_deadline", stamp, finished_at=stamp.at, error=error)


def give_up_unsatisfiable(job: Job, facts: str, stamp: Stamp) -> Change:
    """QUEUED → FAILED: no node could hold it until the deadline passed. `facts`: the dimension and the limit."""
    error = with_fingerprint(JobError("unsatisfiable", facts))
    return make_change(job, JobStatus.FAILED, "unsatisfiable", stamp, facts, finished_at=stamp.at, error=error)
