"""What becomes of a job when a run of it ends: a pure function of the job, the report and chance.

A wish to cancel that is written on the job wins over every end but success, so that a cancelled job is never tried
again. A fenced run changes nothing: whoever fenced it has already decided.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.domain.job import Job, JobError, Progress
from app.domain.json import Json
from app.domain.retry import next_try
from app.domain.states import JobStatus
from app.domain.transitions import (
    Change,
    RunEnd,
    Stamp,
    complete,
    fail,
    finish_cancel,
    requeue,
    retry_later,
    time_out,
)
from workers.run import RunEnding, RunKey, RunReport

_FAILURE_REASON = {
    RunEnding.ERROR: "error",
    RunEnding.TIMEOUT: "timeout",
    RunEnding.OUT_OF_MEMORY: "out_of_memory",
    RunEnding.LOST: "worker_lost",
}
_REQUEUED = frozenset({RunEnding.CHECKPOINTED, RunEnding.DRAINED})
_NUMBERS = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{16,}\b|\d+(\.\d+)?([eE][+-]?\d+)?")
_PATHS = re.compile(r"(/[\w.@+-]+)+/")
_MAX_NORMALISED = 500


@dataclass(frozen=True, slots=True)
class Ending:
    """A run that ended, with what was kept of it."""

    key: RunKey
    report: RunReport
    progress: Progress | None = None
    result: Mapping[str, Json] | None = None
    checkpoint: str | None = None


def decide(job: Job, ending: Ending, chance: float, stamp: Stamp) -> Change | None:
    """The transition that ends the run, or None when the job is no longer in that run. `chance` in [0, 1)."""
    if job.status is not JobStatus.RUNNING or job.run_no != ending.key.run_no:
        return None
    if ending.report.ending is RunEnding.FENCED:
        return None
    change = _transition(job, ending, chance, stamp)
    if ending.progress is None:
        return change
    return replace(change, fields={**change.fields, "progress": ending.progress})


def _transition(job: Job, ending: Ending, chance: float, stamp: Stamp) -> Change:
    report = ending.report
    end = _run_end(ending)
    if report.ending is RunEnding.FINISHED:
        return complete(job, end, stamp)
    if report.ending is RunEnding.CANCELLED or _cancel_wanted(job):
        return finish_cancel(job, replace(end, error=None), stamp, job.control.reason if job.control else None)
    if report.ending in _REQUEUED:
        return requeue(job, report.ending.value, replace(end, error=None), stamp)
    if report.ending is RunEnding.PERMANENT:
        return fail(job, "permanent", end, stamp)
    reason = _FAILURE_REASON[report.ending]
    delay = next_try(job.retry_policy, reason, job.attempt, chance)
    if delay is not None:
        return retry_later(job, reason, end, delay, stamp)
    return time_out(job, end, stamp) if reason == "timeout" else fail(job, reason, end, stamp)


def _cancel_wanted(job: Job) -> bool:
    return job.control is not None and job.control.action == "cancel"


def _run_end(ending: Ending) -> RunEnd:
    report = ending.report
    return RunEnd(
        peak_memory_mib=report.peak_memory_mib,
        cpu_seconds=report.cpu_seconds,
        result=ending.result,
        error=None if report.ending is RunEnding.FINISHED else error_of(report),
        checkpoint=ending.checkpoint,
    )


def error_of(report: RunReport) -> JobError:
    """The failure as the job keeps it."""
    return JobError(
        code=_FAILURE_REASON.get(report.ending, report.ending.value),
        message=report.message,
        step=report.step,
        exit_code=report.exit_code,
        signal=report.signal,
        fingerprint=fingerprint(report),
        log_tail=report.log_tail,
    )


def fingerprint(report: RunReport) -> str:
    """16 hexadecimal digits, equal for failures that are alike: what differs from run to run is left out."""
    kind = report.exception_type or report.signal or report.exit_code or report.ending
    parts = (str(kind), report.step or "", normalised(report.message), report.frame or "")
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def normalised(message: str) -> str:
    """A message without numbers, addresses and folders, so that equal faults read equal."""
    return _NUMBERS.sub("#", _PATHS.sub("", message))[:_MAX_NORMALISED].strip().lower()
