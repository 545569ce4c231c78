"""What becomes of a job at the end of a run, as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from app.domain.job import Control, Job, Progress
from app.domain.retry import RetryPolicy
from app.domain.transitions import apply
from tests.unit.domain.builders import NOW, a_job
from workers.outcome import Ending, decide, fingerprint
from workers.run import RunEnding, RunKey, RunReport

E = RunEnding
RETRIES = RetryPolicy(max_attempts=3, retry_delay=10, backoff="fixed", jitter=0)
EVERY = replace(RETRIES, retry_on=("error", "timeout", "worker_lost", "out_of_memory"))
ONCE = replace(RETRIES, max_attempts=1)


@dataclass(frozen=True)
class Case:
    """A way to end, and what is wanted of it."""

    ending: RunEnding
    policy: RetryPolicy
    status: str
    reason: str
    cancel_asked: bool = False
    delay: float | None = None


CASES = {
    "success completes": Case(E.FINISHED, RETRIES, "COMPLETED", "completed"),
    "success beats a cancel that came late": Case(E.FINISHED, RETRIES, "COMPLETED", "completed", cancel_asked=True),
    "an error is tried again": Case(E.ERROR, RETRIES, "RETRYING", "error", delay=10),
    "the last error fails": Case(E.ERROR, ONCE, "FAILED", "error"),
    "an error is not tried again after a cancel": Case(E.ERROR, RETRIES, "CANCELLED", "cancelled", cancel_asked=True),
    "a permanent failure is never tried again": Case(E.PERMANENT, EVERY, "FAILED", "permanent"),
    "a timeout is final by default": Case(E.TIMEOUT, RETRIES, "TIMEOUT", "timeout"),
    "a timeout is tried again when asked for": Case(E.TIMEOUT, EVERY, "RETRYING", "timeout", delay=10),
    "out of memory is tried again": Case(E.OUT_OF_MEMORY, RETRIES, "RETRYING", "out_of_memory", delay=10),
    "out of memory at the last attempt": Case(E.OUT_OF_MEMORY, ONCE, "FAILED", "out_of_memory"),
    "a lost process waits no delay": Case(E.LOST, ONCE, "RETRYING", "worker_lost", delay=0),
    "a lost process with no retry on it": Case(E.LOST, replace(ONCE, retry_on=()), "FAILED", "worker_lost"),
    "a checkpoint goes back to the queue": Case(E.CHECKPOINTED, ONCE, "QUEUED", "checkpointed"),
    "a drain goes back to the queue": Case(E.DRAINED, ONCE, "QUEUED", "drained"),
    "a drain does not outlive a cancel": Case(E.DRAINED, ONCE, "CANCELLED", "cancelled", cancel_asked=True),
    "a cancel": Case(E.CANCELLED, RETRIES, "CANCELLED", "cancelled", cancel_asked=True),
}


def a_running_job(policy: RetryPolicy = RETRIES, *, cancel_asked: bool = False) -> Job:
    job = a_job().running().but(retry_policy=policy).job
    return replace(job, control=Control("cancel", "ann", "no longer needed", NOW)) if cancel_asked else job


def end(job: Job, report: RunReport, **more: Any) -> Job | None:
    change = decide(job, Ending(RunKey(job.id, job.run_no), report, **more), 0.5, a_job().stamp())
    return None if change is None else apply(job, change)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_way_to_end(case: Case) -> None:
    after = end(a_running_job(case.policy, cancel_asked=case.cancel_asked), RunReport(case.ending, "it ended"))
    assert after is not None
    assert (after.status, after.history[-1].reason) == (case.status, case.reason)
    if case.delay is not None:
        assert after.retry_at is not None
        assert (after.retry_at - after.history[-1].at).total_seconds() == case.delay


@pytest.mark.parametrize("ending", [E.DRAINED, E.CHECKPOINTED, E.LOST])
def test_what_is_not_the_jobs_fault_uses_no_attempt(ending: RunEnding) -> None:
    after = end(a_running_job(), RunReport(ending, "x"))
    assert after is not None
    again = a_job().but(attempts=after.attempts).running().job
    assert again.attempt == 1


def test_a_fenced_run_changes_nothing() -> None:
    assert end(a_running_job(), RunReport(E.FENCED, "x")) is None


def test_a_run_of_the_past_changes_nothing() -> None:
    job = a_running_job()
    late = Ending(RunKey(job.id, job.run_no - 1), RunReport(E.FINISHED))
    assert decide(job, late, 0.5, a_job().stamp()) is None


def test_a_job_that_was_ended_by_others_stays_ended() -> None:
    job = a_job().completed().job
    assert end(job, RunReport(E.ERROR, "late")) is None


def test_result_usage_progress_and_error_go_with_the_transition() -> None:
    job = a_running_job()
    progress = Progress(job.run_no, NOW, 1.0)
    report = RunReport(E.FINISHED, peak_memory_mib=12.5, cpu_seconds=3.25)
    after = end(job, report, progress=progress, result={"metrics": {"accuracy": 1}, "steps": {}})
    assert after is not None
    assert (after.attempts[-1].peak_memory_mib, after.attempts[-1].cpu_seconds) == (12.5, 3.25)
    assert after.progress == progress and after.result == {"metrics": {"accuracy": 1}, "steps": {}}
    failed = end(job, RunReport(E.PERMANENT, "no such column", "train", 78, None, ("last", "lines")))
    assert failed is not None and failed.error is not None
    assert (failed.error.code, failed.error.step, failed.error.exit_code) == ("permanent", "train", 78)
    assert failed.error.log_tail == ("last", "lines") and failed.history[-1].detail == "no such column"


def test_the_checkpoint_is_kept_unless_the_job_is_complete() -> None:
    kept = end(a_running_job(), RunReport(E.CHECKPOINTED), checkpoint="checkpoint-1.tar")
    done = end(a_running_job(), RunReport(E.FINISHED), checkpoint="checkpoint-1.tar")
    assert kept is not None and kept.checkpoint == "checkpoint-1.tar"
    assert done is not None and done.checkpoint is None


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (("row 17 is bad",), ("row 4 is bad",), True),
        (("no file /a/b/data.csv",), ("no file /tmp/x1/data.csv",), True),
        (("object at 0x7f00aa", "train"), ("object at 0x12ff00", "train"), True),
        (("row 17 is bad", "train"), ("row 17 is bad", "store"), False),
        (("no column age",), ("no column name",), False),
    ],
)
def test_equal_faults_have_equal_fingerprints(one: tuple[str, ...], other: tuple[str, ...], alike: bool) -> None:
    same = fingerprint(RunReport(E.ERROR, *one)) == fingerprint(RunReport(E.ERROR, *other))
    assert same is alike
