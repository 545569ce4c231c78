"""The record of a batch and every change of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from app.domain.batch_transitions import (
    BatchChange,
    apply_batch,
    cancel_batch,
    pause_batch,
    reopen_batch,
    resume_batch,
    retry_batch,
    settle_batch,
    stop_batch,
)
from app.domain.batches import (
    MOST_ENTRIES,
    Batch,
    BatchKind,
    BatchStatus,
    Callback,
    Counts,
    ExecutionMode,
    member_id,
    new_batch_id,
)
from app.domain.errors import InvalidBatchTransition
from app.domain.ids import is_object_id
from app.domain.job import Membership
from app.domain.states import JobStatus
from app.domain.transitions import Stamp
from tests.unit.domain.builders import NOW, a_batch

B, S = BatchStatus, JobStatus
BATCH = a_batch()


def stamp(actor: str = "ann", seconds: float = 1) -> Stamp:
    return Stamp(NOW + timedelta(seconds=seconds), actor, f"op{seconds}")


def changed(batch: Batch, change: BatchChange | None) -> Batch:
    assert change is not None
    return apply_batch(batch, change)


def counted(**states: int) -> Counts:
    return Counts({S(name): n for name, n in states.items()})


class TestIds:
    def test_ids_are_object_ids_and_follow_from_batch_and_place(self) -> None:
        batch = a_batch().id
        ids = [member_id(batch, n) for n in (0, 1, 9_999)]
        assert is_object_id(batch) and all(is_object_id(i) and len(i) == 30 for i in ids)
        assert ids == sorted(ids) and len(set(ids)) == 3
        assert ids == [member_id(batch, n) for n in (0, 1, 9_999)]

    def test_two_batches_of_one_instant_share_no_job(self) -> None:
        one, other = (new_batch_id(NOW, bytes([n] * 7)) for n in (1, 2))
        assert not {member_id(one, n) for n in range(50)} & {member_id(other, n) for n in range(50)}

    def test_later_batches_have_later_ids(self) -> None:
        assert new_batch_id(NOW, b"\xff" * 7) < new_batch_id(NOW + timedelta(milliseconds=1), bytes(7))


class TestWidth:
    @pytest.mark.parametrize(
        ("fields", "want"),
        [
            ({}, Membership(4)),
            ({"max_parallel": 8}, Membership(4, 8)),
            ({"mode": ExecutionMode.SEQUENTIAL}, Membership(4, 1, in_order=True)),
            ({"mode": ExecutionMode.SEQUENTIAL, "max_parallel": 8}, Membership(4, 1, in_order=True)),
        ],
    )
    def test_what_a_job_carries_of_its_batch(self, fields: dict[str, object], want: Membership) -> None:
        assert a_batch(**fields).membership(4) == want


class TestControls:
    def test_pause_and_resume(self) -> None:
        paused = changed(BATCH, pause_batch(BATCH, stamp(), "lunch"))
        assert (paused.status, paused.seq, paused.wants("hold")) == (B.PAUSED, 2, True)
        assert paused.history[-1].detail == "lunch"
        assert pause_batch(paused, stamp(), None) is None
        released = changed(paused, pause_batch(paused, stamp(), None, release=True))
        assert released.wants("release") and pause_batch(released, stamp(), None, release=True) is None
        resumed = changed(released, resume_batch(released, stamp(), None))
        assert (resumed.status, resumed.wants("resume")) == (B.RUNNING, True)
        assert resume_batch(resumed, stamp(), None) is None

    def test_cancel_stands_until_nothing_is_open(self) -> None:
        asked = changed(BATCH, cancel_batch(BATCH, stamp(), "wrong data"))
        assert (asked.status, asked.wants("cancel")) == (B.RUNNING, True)
        assert cancel_batch(asked, stamp(), None) is None
        assert settle_batch(asked, counted(CANCELLED=2, RUNNING=1), stamp()) is None
        ended = changed(asked, settle_batch(asked, counted(CANCELLED=2, COMPLETED=1), stamp()))
        assert (ended.status, ended.control, ended.history[-1].detail) == (B.CANCELLED, None, "wrong data")
        assert cancel_batch(ended, stamp(), None) is None

    def test_a_rule_that_stops_it_leaves_it_failed_and_a_cancel_outweighs_the_rule(self) -> None:
        stopped = changed(BATCH, stop_batch(BATCH, stamp("system"), "fail_fast: job_1 ended FAILED"))
        assert stop_batch(stopped, stamp("system"), "again") is None
        failed = changed(stopped, settle_batch(stopped, counted(FAILED=1, CANCELLED=2), stamp()))
        assert (failed.status, failed.history[-1].detail) == (B.FAILED, "fail_fast: job_1 ended FAILED")
        cancelled = changed(stopped, cancel_batch(stopped, stamp(), None))
        assert (
            changed(cancelled, settle_batch(cancelled, counted(FAILED=1, CANCELLED=2), stamp())).status is B.CANCELLED
        )

    def test_retry_makes_it_run_again_and_forgets_its_end(self) -> None:
        batch = a_batch(callback=Callback("https://example.com/done"))
        ended = changed(batch, settle_batch(batch, counted(COMPLETED=2, FAILED=1), stamp()))
        assert ended.callback == Callback("https://example.com/done", seq=2, due=stamp().at)
        again = changed(ended, retry_batch(ended, stamp(), None, retryable=1))
        assert (again.status, again.finished_at, again.wants("retry")) == (B.RUNNING, None, True)
        assert again.callback == Callback("https://example.com/done")
        assert settle_batch(again, counted(COMPLETED=2, FAILED=1), stamp()) is None, "its jobs are not retried yet"

    REFUSED: tuple[tuple[str, Callable[[Batch], BatchChange | None], str], ...] = (
        ("COMPLETED", lambda b: cancel_batch(b, stamp(), None), "cannot become CANCELLED"),
        ("COMPLETED", lambda b: pause_batch(b, stamp(), None), "cannot become PAUSED"),
        ("COMPLETED", lambda b: retry_batch(b, stamp(), None, retryable=0), "every job of it has completed"),
        ("RUNNING", lambda b: resume_batch(b, stamp(), None), "is RUNNING: it is not paused."),
        ("RUNNING", lambda b: retry_batch(b, stamp(), None, retryable=0), "no job of it has failed"),
        ("PAUSED", lambda b: retry_batch(b, stamp(), None, retryable=1), "cannot become RUNNING"),
        ("CANCELLED", lambda b: resume_batch(b, stamp(), None), "is CANCELLED: it is not paused."),
    )

    @pytest.mark.parametrize(("state", "decide", "why"), REFUSED)
    def test_what_is_refused_says_why(
        self, state: str, decide: Callable[[Batch], BatchChange | None], why: str
    ) -> None:
        batch = a_batch()
        made = {
            "RUNNING": lambda: batch,
            "PAUSED": lambda: changed(batch, pause_batch(batch, stamp(), None)),
            "COMPLETED": lambda: changed(batch, settle_batch(batch, counted(COMPLETED=3), stamp())),
            "CANCELLED": lambda: changed(batch, settle_batch(batch, counted(CANCELLED=3), stamp(), B.CANCELLED)),
        }[state]()
        with pytest.raises(InvalidBatchTransition, match=why) as refusal:
            decide(made)
        assert refusal.value.current == state

    def test_while_it_is_being_cancelled_nothing_else_is_taken(self) -> None:
        asked = changed(BATCH, cancel_batch(BATCH, stamp(), None))
        for decide in (
            lambda: pause_batch(asked, stamp(), None),
            lambda: retry_batch(asked, stamp(), None, retryable=1),
        ):
            with pytest.raises(InvalidBatchTransition, match="it is being cancelled"):
                decide()


class TestSettling:
    @pytest.mark.parametrize(
        ("states", "want"),
        [
            ({"COMPLETED": 3}, B.COMPLETED),
            ({"COMPLETED": 2, "FAILED": 1}, B.FAILED),
            ({"COMPLETED": 2, "TIMEOUT": 1}, B.FAILED),
            ({"COMPLETED": 2, "CANCELLED": 1}, B.FAILED),
            ({"COMPLETED": 2, "RUNNING": 1}, None),
            ({"COMPLETED": 2, "PAUSED": 1}, None),
            ({"COMPLETED": 2}, B.COMPLETED),
            ({"FAILED": 1}, B.FAILED),
            ({}, B.FAILED),
        ],
    )
    def test_by_its_jobs_those_that_are_gone_left_out(self, states: dict[str, int], want: BatchStatus | None) -> None:
        change = settle_batch(a_batch(3), counted(**states), stamp())
        assert (change and change.entry.to) == want

    def test_a_sweep_has_not_ended_before_all_its_trials_were_there(self) -> None:
        sweep = a_batch(3, kind=BatchKind.SWEEP)
        assert settle_batch(sweep, counted(COMPLETED=2), stamp()) is None
        assert changed(sweep, settle_batch(sweep, counted(COMPLETED=3), stamp())).status is B.COMPLETED

    def test_a_job_that_is_retried_by_itself_opens_it_again(self) -> None:
        batch = a_batch(3, callback=Callback("https://example.com/done"))
        assert reopen_batch(batch, "job_1", stamp()) is None
        ended = changed(batch, settle_batch(batch, counted(FAILED=3), stamp()))
        again = changed(ended, reopen_batch(ended, "job_1", stamp()))
        assert (again.status, again.finished_at, again.control) == (B.RUNNING, None, None)
        assert (again.history[-1].detail, again.callback) == ("job_1 was retried", Callback("https://example.com/done"))

    def test_one_that_has_completed_is_not_opened_again(self) -> None:
        batch = a_batch(3)
        ended = changed(batch, settle_batch(batch, counted(COMPLETED=3), stamp()))
        assert reopen_batch(ended, "job_1", stamp()) is None

    def test_the_newest_of_its_history_are_kept(self) -> None:
        batch = BATCH
        for _ in range(MOST_ENTRIES):
            batch = changed(batch, pause_batch(batch, stamp(), None))
            batch = changed(batch, resume_batch(batch, stamp(), None))
        assert len(batch.history) == MOST_ENTRIES
        assert [entry.seq for entry in batch.history][-1] == batch.seq == 2 * MOST_ENTRIES + 1

    def test_it_is_settled_once(self) -> None:
        ended = changed(BATCH, settle_batch(BATCH, counted(COMPLETED=3), stamp()))
        assert settle_batch(ended, counted(COMPLETED=3), stamp()) is None
        assert (ended.finished_at, ended.counts.laid_out) == (stamp().at, 3)

    def test_counts_tell_every_state_and_the_total(self) -> None:
        told = counted(COMPLETED=2, RUNNING=1).tell()
        assert told["total"] == 3 and told["completed"] == 2 and told["running"] == 1 and told["failed"] == 0
        assert set(told) == {"total", *(s.value.lower() for s in S)}
