"""What becomes of a job when a run of it ends: a pure function of the job, the report and chance.

A wish to cancel that is written on the job wins over every end but success, so that a cancelled job is never tried
again; a wish to pause wins where the job would go on by itself, also after a failure, which uses an attempt as ever. A
fenced run changes nothing: whoever fenced it has already decided. A frozen run that finished or failed for good first
becomes RUNNING again, and then its end is decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from app.domain.control_transitions import as_asked, release, resume_in_place
from app.domain.failures import with_fingerprint
from app.domain.job import Job, JobError, Progress
from app.domain.json import Json
from app.domain.losses import lose_run
from app.domain.resources import Vector
from app.domain.retry import grown_memory, next_try
from app.domain.states import JobStatus
from app.domain.transitions import (
    Change,
    RunEnd,
    Stamp,
    complete,
    fail,
    finish_cancel,
    prune,
    requeue,
    retry_later,
    time_out,
)
from workers.run import SUCCESSES, RunEnding, RunKey, RunReport

_FAILURE_REASON = {
    RunEnding.ERROR: "error",
    RunEnding.TIMEOUT: "timeout",
    RunEnding.OUT_OF_MEMORY: "out_of_memory",
    RunEnding.LOST: "worker_lost",
    RunEnding.CRASHED: "worker_lost",
}
_GONE = frozenset({RunEnding.LOST, RunEnding.CRASHED})
_LEAVES = {
    RunEnding.CHECKPOINTED: "checkpointed",
    RunEnding.DRAINED: "drained",
    RunEnding.RELEASED: "checkpointed",
    RunEnding.PREEMPTED: "preempted",
}
"""Ends after which the job goes on in another run, and why, unless a user wants it to wait: a release may have been
taken back while it was carried out."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A run that ended, with what was kept of it. `largest_mib`: memory of the largest node that could hold the job,
    where one is known."""

    key: RunKey
    report: RunReport
    progress: Progress | None = None
    result: Mapping[str, Json] | None = None
    checkpoint: str | None = None
    largest_mib: int | None = None


def decide(job: Job, ending: Ending, chance: float, stamp: Stamp) -> Change | None:
    """The transition that ends the run, or None when the job is no longer in that run. `chance` in [0, 1)."""
    if not is_live(job, ending.key) or ending.report.ending is RunEnding.FENCED:
        return None
    change = _transition(job, ending, chance, stamp)
    if change is None or ending.progress is None or change.entry.to is JobStatus.RUNNING:
        return change
    return replace(change, fields={**change.fields, "progress": ending.progress})


def is_live(job: Job, key: RunKey) -> bool:
    """Whether the job is in that run: it runs, or stands frozen."""
    return job.run_no == key.run_no and (job.status is JobStatus.RUNNING or job.frozen)


def _transition(job: Job, ending: Ending, chance: float, stamp: Stamp) -> Change | None:
    report, end = ending.report, _run_end(ending)
    if report.ending is RunEnding.CANCELLED or (report.ending is not RunEnding.FINISHED and job.wants("cancel")):
        asked = job.control.reason if job.control else None
        return finish_cancel(job, replace(end, error=None), as_asked(job, stamp), asked)
    if report.ending in _GONE:
        return lose_run(job, report.message, stamp, crashed=report.ending is RunEnding.CRASHED, end=end)
    delay = _until_next_run(job, report.ending, chance)
    if delay is not None and _is_to_stay(job):
        return _stay(job, ending, end, stamp)
    if job.frozen and job.wants("resume"):
        return resume_in_place(job, as_asked(job, stamp), job.control.reason if job.control else None)
    if job.frozen:
        return resume_in_place(job, stamp, "the run ended while it was being frozen")
    if report.ending is RunEnding.PRUNED:
        return prune(job, end, stamp, report.message)
    if report.ending is RunEnding.FINISHED:
        return complete(job, end, stamp)
    if report.ending in _LEAVES:
        return requeue(job, _LEAVES[report.ending], replace(end, error=None), stamp)
    if report.ending is RunEnding.PERMANENT:
        return fail(job, "permanent", end, stamp)
    return _failed(job, ending, end, delay, stamp)


def _until_next_run(job: Job, ending: RunEnding, chance: float) -> timedelta | None:
    """How long after such an end the job would go on by itself; None when this is its end."""
    if ending in _LEAVES:
        return timedelta(0)
    reason = _FAILURE_REASON.get(ending)
    return next_try(job.retry_policy, reason, job.attempts_counted, chance) if reason else None


def _is_to_stay(job: Job) -> bool:
    """Whether a user wants that the job does not go on by itself."""
    return job.wants("pause", "release") or (job.frozen and not job.wants("resume"))


def _stay(job: Job, ending: Ending, end: RunEnd, stamp: Stamp) -> Change:
    """It waits for its resume; a failure of its own has used an attempt all the same."""
    failure = _FAILURE_REASON.get(ending.report.ending)
    fields = {} if failure is None else {"outcome": failure, **_changed(job, ending)}
    detail = fields.pop("detail", None) or _after_release(job, ending)
    return release(job, replace(end, error=None), as_asked(job, stamp), detail[:500], **fields)


def _after_release(job: Job, ending: Ending) -> str:
    checkpoint = ending.checkpoint or job.checkpoint
    kept = f"checkpoint {checkpoint} is kept" if checkpoint else "no checkpoint: it will start over"
    return f"{ending.report.message}; {kept}" if ending.report.message else kept


def _failed(job: Job, ending: Ending, end: RunEnd, delay: timedelta | None, stamp: Stamp) -> Change:
    """Tried again as the policy says, with more memory after too little of it; else the end of the job."""
    reason = _FAILURE_REASON[ending.report.ending]
    if delay is None:
        return time_out(job, end, stamp) if reason == "timeout" else fail(job, reason, end, stamp)
    return retry_later(job, reason, end, delay, stamp, **_changed(job, ending))


def _changed(job: Job, ending: Ending) -> dict[str, Any]:
    """What is different in the run that follows a failure, and the words for it."""
    if ending.report.ending is not RunEnding.OUT_OF_MEMORY:
        return {}
    resources = _grown(job, ending)
    before, after = job.resources.memory_mib, resources.memory_mib
    said = f"{ending.report.message}; memory_gb of the next run {before / 1024:g} → {after / 1024:g}"
    return {"resources": resources, "detail": said[:500]} if after > before else {}


def _grown(job: Job, ending: Ending) -> Vector:
    earlier = [a for a in job.attempts if a.outcome == "out_of_memory" and a.attempt > job.attempt_base]
    memory = grown_memory(
        job.retry_policy, job.resources.memory_mib, ending.report.peak_memory_mib, ending.largest_mib, len(earlier)
    )
    return replace(job.resources, memory_mib=memory)


def _run_end(ending: Ending) -> RunEnd:
    report = ending.report
    return RunEnd(
        peak_memory_mib=report.peak_memory_mib,
        cpu_seconds=report.cpu_seconds,
        result=ending.result,
        error=None if report.ending in SUCCESSES else error_of(report),
        checkpoint=ending.checkpoint,
    )


def error_of(report: RunReport) -> JobError:
    """The failure as the job keeps it."""
    error = JobError(
        code=_FAILURE_REASON.get(report.ending, report.ending.value),
        message=report.message,
        step=report.step,
        exit_code=report.exit_code,
        signal=report.signal,
        log_tail=report.log_tail,
        exception_type=report.exception_type,
        frame=report.frame,
    )
    return with_fingerprint(error)
