"""Edges as functions: what each changes, and what it refuses."""

from datetime import timedelta

import pytest

from app.domain import transitions
from app.domain.errors import HistoryFull, InvalidTransition
from app.domain.job import JobError
from app.domain.states import JobStatus
from app.domain.transitions import RunEnd, apply
from tests.unit.domain.builders import a_job


def test_the_way_of_a_job_is_its_history() -> None:
    job = a_job(eligible=False).completed().job
    assert [(e.source, e.to, e.reason) for e in job.history] == [
        (None, "SUBMITTED", "submitted"),
        ("SUBMITTED", "QUEUED", "eligible"),
        ("QUEUED", "SCHEDULED", "placed"),
        ("SCHEDULED", "RUNNING", "started"),
        ("RUNNING", "COMPLETED", "completed"),
    ]
    assert [e.seq for e in job.history] == [1, 2, 3, 4, 5]
    assert job.seq == 5
    assert job.finished_at == job.history[-1].at


def test_each_dispatch_raises_the_fencing_token_and_only_failures_raise_the_attempt() -> None:
    builder = a_job().scheduled()
    builder.job = apply(builder.job, transitions.lose_dispatch(builder.job, builder.stamp()))
    job = builder.running().job
    assert (job.run_no, job.attempt) == (2, 1)


def test_a_failed_attempt_counts_and_a_checkpoint_does_not() -> None:
    builder = a_job().retrying()
    builder.job = apply(builder.job, transitions.retry_now(builder.job, builder.stamp()))
    builder.running()
    assert builder.job.attempt == 2
    builder.job = apply(builder.job, transitions.requeue(builder.job, "checkpointed", RunEnd(), builder.stamp()))
    assert builder.running().job.attempt == 2
    assert builder.job.run_no == 3


def test_resources_are_free_during_retrying() -> None:
    job = a_job().retrying(delay=30).job
    assert job.gpu_indices == ()
    assert job.status is JobStatus.RETRYING
    assert job.retry_at == job.history[-1].at + timedelta(seconds=30)


def test_a_refused_edge_names_current_wanted_and_allowed() -> None:
    job = a_job().completed().job
    with pytest.raises(InvalidTransition) as refused:
        transitions.cancel_waiting(job, a_job().stamp(), None)
    assert refused.value.current == "COMPLETED"
    assert refused.value.wanted == "CANCELLED"
    assert refused.value.allowed == ()


def test_user_driven_changes_end_at_a_thousand_and_the_systems_own_do_not() -> None:
    builder = a_job().running().but(seq=1_000)
    with pytest.raises(HistoryFull):
        transitions.request_cancel(builder.job, builder.stamp("ann"), None)
    assert transitions.complete(builder.job, RunEnd(), builder.stamp()).entry.seq == 1_001


def test_a_run_that_ends_leaves_an_attempt_with_what_it_used() -> None:
    builder = a_job().running()
    end = RunEnd(peak_memory_mib=143.0, cpu_seconds=1.5, error=JobError("out_of_memory", "too much"))
    job = apply(builder.job, transitions.fail(builder.job, "out_of_memory", end, builder.stamp()))
    [attempt] = job.attempts
    assert (attempt.outcome, attempt.peak_memory_mib, attempt.node_id) == ("out_of_memory", 143.0, "node-1")
    assert job.error is not None
    assert job.history[-1].detail == "too much"


def test_the_cause_of_a_failed_dependency_is_kept() -> None:
    builder = a_job(eligible=False)
    job = apply(builder.job, transitions.fail_dependency(builder.job, "job_first", builder.stamp()))
    assert job.status is JobStatus.FAILED
    assert job.history[-1].detail == "job_first"
