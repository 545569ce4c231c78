"""What becomes of a job at the end of a run, as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from app.domain.job import Attempt, Control, Job, Progress
from app.domain.retry import RetryPolicy
from app.domain.transitions import apply, attempts_used
from tests.unit.domain.builders import NOW, a_job
from workers.outcome import Ending, decide, error_of
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
    "stopped early": Case(E.PRUNED, RETRIES, "COMPLETED", "pruned"),
    "stopped early and cancelled": Case(E.PRUNED, RETRIES, "CANCELLED", "cancelled", cancel_asked=True),
    "a cancel": Case(E.CANCELLED, RETRIES, "CANCELLED", "cancelled", cancel_asked=True),
}


@dataclass(frozen=True)
class Met:
    """An end that meets what a user asked, or a frozen job: by these reasons the job goes, and ends there."""

    ending: RunEnding
    frozen: bool
    asked: str | None
    status: str
    reasons: tuple[str, ...]


STAYS = {
    "a release": Met(E.RELEASED, False, "release", "PAUSED", ("released",)),
    "a pause of what cannot be frozen": Met(E.RELEASED, False, "pause", "PAUSED", ("released",)),
    "a release that was taken back": Met(E.RELEASED, False, "resume", "QUEUED", ("checkpointed",)),
    "a release beside a cancel": Met(E.RELEASED, False, "cancel", "CANCELLED", ("cancelled",)),
    "frozen for too long": Met(E.RELEASED, True, None, "PAUSED", ("released",)),
    "frozen for too long and resumed meanwhile": Met(E.RELEASED, True, "resume", "QUEUED", ("resumed", "checkpointed")),
    "frozen on a node that is drained": Met(E.DRAINED, True, None, "PAUSED", ("released",)),
    "frozen, resumed, drained": Met(E.DRAINED, True, "resume", "QUEUED", ("resumed", "drained")),
    "a drain before the pause came": Met(E.DRAINED, False, "pause", "PAUSED", ("released",)),
    "a checkpoint before the pause came": Met(E.CHECKPOINTED, False, "pause", "PAUSED", ("released",)),
    "stopped early while it was being frozen": Met(E.PRUNED, True, "pause", "COMPLETED", ("resumed", "pruned")),
    "frozen and cancelled": Met(E.CANCELLED, True, "cancel", "CANCELLED", ("cancelled",)),
    "frozen and gone": Met(E.LOST, True, None, "RETRYING", ("worker_lost",)),
    "frozen and gone with its worker": Met(E.CRASHED, True, None, "RETRYING", ("worker_lost",)),
    "frozen, cancelled, and gone": Met(E.LOST, True, "cancel", "CANCELLED", ("cancelled",)),
    "gone before the pause came": Met(E.CRASHED, False, "pause", "PAUSED", ("released",)),
    "finished in the moment of the freeze": Met(E.FINISHED, True, None, "COMPLETED", ("resumed", "completed")),
    "killed while it stood": Met(E.ERROR, True, None, "PAUSED", ("released",)),
    "killed while it stood, and resumed": Met(E.ERROR, True, "resume", "RETRYING", ("resumed", "error")),
    "failed before the pause came": Met(E.ERROR, False, "pause", "PAUSED", ("released",)),
    "failed instead of leaving": Met(E.ERROR, False, "release", "PAUSED", ("released",)),
    "too little memory before the pause came": Met(E.OUT_OF_MEMORY, False, "pause", "PAUSED", ("released",)),
    "killed while it stood, and cancelled": Met(E.ERROR, True, "cancel", "CANCELLED", ("cancelled",)),
    "failed for good before the pause came": Met(E.PERMANENT, False, "pause", "FAILED", ("permanent",)),
    "timed out before the pause came": Met(E.TIMEOUT, False, "pause", "TIMEOUT", ("timeout",)),
}


@pytest.mark.parametrize("case", STAYS.values(), ids=STAYS)
def test_what_a_user_asked_meets_the_end(case: Met) -> None:
    builder = a_job().frozen() if case.frozen else a_job().running()
    job = builder.but(retry_policy=RETRIES).job
    before = job.seq
    if case.asked:
        job = replace(job, control=Control(case.asked, "ann", "because", NOW))
    for _ in case.reasons:
        after = end(job, RunReport(case.ending, "it ended"))
        assert after is not None
        job = after
    assert (job.status, tuple(e.reason for e in job.history[before:])) == (case.status, case.reasons)
    assert not job.on_node and job.control is None and len(job.attempts) == 1
    assert end(job, RunReport(case.ending, "it ended")) is None, "an end is told once"


def test_a_failure_under_a_pause_uses_an_attempt_and_the_last_one_ends_the_job() -> None:
    paused = Control("pause", "ann", None, NOW)
    job = replace(a_running_job(), control=paused)
    after = end(replace(job, resources=replace(job.resources, memory_mib=4096)), RunReport(E.OUT_OF_MEMORY, "x"))
    assert after is not None and after.released
    assert ([a.outcome for a in after.attempts], attempts_used(after)) == (["out_of_memory"], 1)
    assert (after.resources.memory_mib, after.history[-1].detail) == (6144, "x; memory_gb of the next run 4 → 6")
    last = end(replace(a_running_job(ONCE), control=paused), RunReport(E.ERROR, "x"))
    assert last is not None and last.status == "FAILED"


@pytest.mark.parametrize(
    ("found", "known", "words"),
    [
        ("checkpoint-1.tar", None, "long enough; checkpoint checkpoint-1.tar is kept"),
        (None, "checkpoint-0.tar", "long enough; checkpoint checkpoint-0.tar is kept"),
        (None, None, "long enough; no checkpoint: it will start over"),
    ],
)
def test_a_release_says_whether_a_checkpoint_was_kept(found: str | None, known: str | None, words: str) -> None:
    job = a_job().frozen().but(checkpoint=known).job
    after = end(job, RunReport(E.RELEASED, "long enough"), checkpoint=found)
    assert after is not None and after.history[-1].detail == words


def test_what_a_user_asked_is_told_as_theirs() -> None:
    job = replace(a_job().running().job, control=Control("release", "ann", None, NOW))
    after = end(job, RunReport(E.RELEASED))
    assert after is not None and after.history[-1].actor == "ann"


def test_only_evidence_of_a_crash_counts_as_a_loss() -> None:
    crashed, lost = (end(a_job().running().job, RunReport(ending, "gone")) for ending in (E.CRASHED, E.LOST))
    assert crashed is not None and lost is not None
    assert (crashed.infra_losses, lost.infra_losses) == (1, 0)
    assert crashed.error is not None and crashed.error.message == "gone"


def test_a_suspect_that_crashes_a_worker_alone_is_poison() -> None:
    suspect = a_job().running().but(infra_losses=2).job
    crashed, lost = (end(suspect, RunReport(ending, "gone")) for ending in (E.CRASHED, E.LOST))
    assert crashed is not None and (crashed.status, crashed.history[-1].reason) == ("FAILED", "poisoned")
    assert lost is not None and lost.status == "RETRYING"


def memory_after(job: Job, peak: float | None, largest: int | None) -> int:
    after = end(job, RunReport(E.OUT_OF_MEMORY, "too little", peak_memory_mib=peak), largest_mib=largest)
    assert after is not None
    return after.resources.memory_mib


def test_memory_grows_after_too_little_of_it_and_says_so() -> None:
    job = a_running_job()
    job = replace(job, resources=replace(job.resources, memory_mib=4096))
    assert memory_after(job, None, None) == 6144
    assert memory_after(job, 6000.0, None) == 7200, "more than was used at the peak"
    assert memory_after(job, 6000.0, 5120) == 5120, "no more than the largest node has"
    after = end(job, RunReport(E.OUT_OF_MEMORY, "too little"))
    assert after is not None and after.history[-1].detail == "too little; memory_gb of the next run 4 → 6"


def test_memory_that_has_grown_stays_so_through_a_drain() -> None:
    job = a_running_job()
    grown = end(replace(job, resources=replace(job.resources, memory_mib=4096)), RunReport(E.OUT_OF_MEMORY, "x"))
    assert grown is not None
    again = a_job().but(resources=grown.resources).running().job
    drained = end(again, RunReport(E.DRAINED, "x"))
    assert drained is not None and drained.resources.memory_mib == 6144


def test_memory_grows_three_times_and_anew_after_a_manual_retry() -> None:
    job = a_running_job(replace(RETRIES, max_attempts=9))
    spent = tuple(Attempt(n, n, "node-1", NOW, NOW, "out_of_memory") for n in (1, 2, 3))
    job = replace(job, resources=replace(job.resources, memory_mib=4096), attempts=spent, attempt=4)
    assert memory_after(job, None, None) == 4096
    assert memory_after(replace(job, attempt_base=3), None, None) == 6144


def test_attempts_count_anew_after_a_manual_retry() -> None:
    job = a_running_job(replace(RETRIES, max_attempts=2))
    assert _status(replace(job, attempt=4)) == "FAILED"
    assert _status(replace(job, attempt=4, attempt_base=3)) == "RETRYING"


def _status(job: Job) -> str:
    after = end(job, RunReport(E.ERROR, "x"))
    assert after is not None
    return after.status


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


def test_a_failure_says_what_it_has_in_common_with_others() -> None:
    first = error_of(RunReport(E.ERROR, "KeyError: 'age'", "train", exception_type="KeyError", frame="fit.py:load"))
    again = error_of(RunReport(E.ERROR, "KeyError: 'age'", "train", exception_type="KeyError", frame="fit.py:store"))
    assert (first.exception_type, first.frame) == ("KeyError", "fit.py:load")
    assert first.fingerprint and first.fingerprint != again.fingerprint


def test_a_run_killed_for_memory_is_not_like_one_that_was_killed() -> None:
    killed = error_of(RunReport(E.ERROR, "killed", "train", signal=9))
    memory = error_of(RunReport(E.OUT_OF_MEMORY, "killed", "train", signal=9))
    assert killed.fingerprint != memory.fingerprint
