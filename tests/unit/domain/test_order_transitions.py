"""Another class, another place: what it does to a job, and in which states."""

from __future__ import annotations

import pytest

from app.domain.errors import InvalidTransition
from app.domain.job import Job
from app.domain.order_transitions import change_priority, effective_class, lend_priority, move
from app.domain.priority import Priority
from app.domain.states import TERMINAL, JobStatus
from app.domain.transitions import Stamp, apply
from tests.unit.domain.builders import NOW, a_job

STAMP = Stamp(NOW, "ann", "op")
P = Priority


def queued(own: Priority = P.NORMAL, effective: Priority | None = None, pin: int | None = None) -> Job:
    return a_job().queued().but(priority=own, effective_priority=effective or own, pin=pin).job


@pytest.mark.parametrize(
    ("job", "asked", "lent", "want"),
    [
        (queued(), P.URGENT, None, (P.URGENT, P.URGENT, None)),
        (queued(pin=0), P.LOW, None, (P.LOW, P.LOW, None)),
        (queued(), P.LOW, P.HIGH, (P.LOW, P.HIGH, None)),
        (queued(P.NORMAL, P.HIGH, pin=2), P.LOW, P.HIGH, (P.LOW, P.HIGH, 2)),
        (queued(P.NORMAL, P.HIGH, pin=2), P.URGENT, P.HIGH, (P.URGENT, P.URGENT, None)),
    ],
    ids=["up", "down, its place by hand is gone", "lent to", "lent to: stays where it was put", "over what is lent"],
)
def test_a_priority_changes_the_class_and_keeps_the_key(
    job: Job, asked: Priority, lent: Priority | None, want: tuple[Priority, Priority, int | None]
) -> None:
    change = change_priority(job, asked, lent, STAMP, "why")
    assert change is not None
    after = apply(job, change)
    assert (after.priority, after.effective_priority, after.pin) == want
    assert (after.order_key, after.status, after.seq) == (job.order_key, job.status, job.seq + 1)
    entry = after.history[-1]
    assert (entry.reason, entry.actor, entry.detail, entry.source) == ("priority_changed", "ann", "why", entry.to)


def test_the_class_that_it_has_is_no_change() -> None:
    assert change_priority(queued(), P.NORMAL, None, STAMP, None) is None
    assert lend_priority(queued(), None, STAMP) is None
    assert lend_priority(queued(), P.LOW, STAMP) is None


def test_what_is_lent_is_given_back() -> None:
    low = queued(P.LOW)
    lent = lend_priority(low, P.URGENT, STAMP)
    assert lent is not None
    urgent = apply(low, lent)
    assert (urgent.priority, urgent.effective_priority) == (P.LOW, P.URGENT)
    back = lend_priority(urgent, None, STAMP)
    assert back is not None
    assert apply(urgent, back).effective_priority is P.LOW
    assert "its own again" in (back.entry.detail or "")


@pytest.mark.parametrize("own", P)
@pytest.mark.parametrize("lent", P)
def test_only_a_more_urgent_class_is_taken(own: Priority, lent: Priority) -> None:
    order = list(P)
    assert effective_class(own, lent) is min(own, lent, key=order.index)
    assert effective_class(own, None) is own


def test_a_move_writes_key_band_and_position() -> None:
    job = queued()
    after = apply(job, move(job, 12.5, 3, 2, STAMP, "first"))
    assert (after.order_key, after.pin, after.moved_to, after.status) == (12.5, 3, 2, JobStatus.QUEUED)
    assert (after.history[-1].reason, after.history[-1].detail) == ("reordered", "first")


@pytest.mark.parametrize(
    "job",
    [a_job(eligible=False).job, a_job().queued().held().job, a_job().scheduled().job, a_job().retrying().job],
    ids=["SUBMITTED", "held", "SCHEDULED", "RETRYING"],
)
def test_only_what_is_queued_is_moved(job: Job) -> None:
    with pytest.raises(InvalidTransition):
        move(job, 1.0, 0, 1, STAMP, None)


@pytest.mark.parametrize("job", [a_job().completed().job, a_job().failed().job], ids=lambda j: str(j.status))
def test_what_has_ended_has_no_class_to_change(job: Job) -> None:
    assert job.status in TERMINAL
    with pytest.raises(InvalidTransition):
        change_priority(job, P.URGENT, None, STAMP, None)
