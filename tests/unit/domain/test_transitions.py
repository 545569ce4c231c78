"""Edges as functions: what each changes, and what it refuses."""

from datetime import timedelta

import pytest

from app.domain import control_transitions, transitions
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
        control_transitions.cancel_waiting(job, a_job().stamp(), None)
    assert refused.value.current == "COMPLETED"
    assert refused.value.wanted == "CANCELLED"
    assert refused.value.allowed == ()


def test_user_driven_changes_end_at_a_thousand_and_the_systems_own_do_not() -> None:
    builder = a_job().running().but(seq=1_000)
    with pytest.raises(HistoryFull):
        control_transitions.request_control(builder.job, "cancel", builder.stamp("ann"), None)
    assert transitions.complete(builder.job, RunEnd(), builder.stamp()).entry.seq == 1_001


def test_a_held_job_leaves_queue_and_node_and_keeps_its_order_key() -> None:
    builder = a_job().scheduled(gpus=(0,))
    key = builder.job.order_key
    job = apply(builder.job, control_transitions.hold(builder.job, builder.stamp("ann"), "not now"))
    assert (job.status, job.paused_from, job.node_id, job.gpu_indices) == ("PAUSED", "SCHEDULED", None, ())
    assert job.held
    assert not job.on_node
    job = apply(job, control_transitions.resume_waiting(job, builder.stamp("ann"), None, eligible=True))
    assert (job.status, job.paused_from, job.order_key) == ("QUEUED", None, key)


def test_a_frozen_job_keeps_its_node_and_a_released_one_does_not() -> None:
    builder = a_job().running()
    frozen = apply(builder.job, control_transitions.freeze(builder.job, builder.stamp("ann"), None))
    assert frozen.frozen
    assert frozen.on_node
    assert frozen.node_id == "node-1"
    released = apply(frozen, control_transitions.release(frozen, RunEnd(checkpoint="c"), builder.stamp(), None))
    assert not released.on_node
    assert (released.paused_from, released.node_id, released.checkpoint) == ("RUNNING", None, "c")
    assert released.attempts[-1].outcome == "released"
    resumed = apply(released, control_transitions.resume_waiting(released, builder.stamp(), None, eligible=True))
    builder.job = resumed
    assert builder.running().job.attempt == 1


def test_a_crash_counts_as_a_loss_and_a_lease_that_ran_out_does_not() -> None:
    builder = a_job().running()
    end = RunEnd(error=JobError("worker_lost", "gone"))
    silent = apply(builder.job, transitions.lose_worker(builder.job, end, builder.stamp(), crashed=False))
    crash = apply(builder.job, transitions.lose_worker(builder.job, end, builder.stamp(), crashed=True))
    assert (silent.status, silent.infra_losses) == ("RETRYING", 0)
    assert (crash.status, crash.infra_losses) == ("RETRYING", 1)
    assert crash.retry_at == crash.history[-1].at


def test_only_a_crash_under_a_suspect_is_poison() -> None:
    builder = a_job().running().but(infra_losses=2)
    end = RunEnd(error=JobError("worker_lost", "gone"))
    silent = transitions.lose_worker(builder.job, end, builder.stamp(), crashed=False)
    crash = transitions.lose_worker(builder.job, end, builder.stamp(), crashed=True)
    assert silent.entry.to is JobStatus.RETRYING
    assert (crash.entry.to, crash.entry.reason) == (JobStatus.FAILED, "poisoned")


def test_a_manual_retry_is_a_new_attempt_with_a_new_budget_and_the_old_history() -> None:
    builder = a_job().failed()
    before = builder.job
    change = control_transitions.retry_manually(before, builder.stamp("ann"), "fixed", eligible=True)
    builder.job = apply(before, change)
    assert builder.job.history[:-1] == before.history
    assert builder.job.finished_at is None
    job = builder.running().job
    assert (job.attempt, job.attempts_counted, job.run_no) == (2, 1, 2)


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
