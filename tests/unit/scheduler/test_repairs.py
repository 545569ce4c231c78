"""What counts as wrong, and for how long it may."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.job import Job
from app.domain.nodes import NodeState
from app.domain.states import JobStatus
from app.scheduler.repairs import Held, Suspects, holds_room, overdue_dispatches
from app.scheduler.set_aside import SetAside
from app.scheduler.snapshot import as_leased, members_wanted
from tests.unit.domain.builders import a_job
from tests.unit.scheduler.builders import NOW, a_head, a_node, a_snapshot, an_allocation, vector


@pytest.mark.parametrize(
    ("job", "want"),
    [
        (a_job().scheduled().job, True),
        (a_job().running().job, True),
        (a_job().running().but(status=JobStatus.PAUSED, paused_from=JobStatus.RUNNING).job, True),
        (a_job().running().but(status=JobStatus.PAUSED, paused_from=JobStatus.RETRYING).job, False),
        (a_job().running().but(run_no=2).job, False),
        (a_job().running().but(node_id="node-2").job, False),
        (a_job().completed().job, False),
        (a_job().retrying().job, False),
        (a_job().queued().job, False),
    ],
)
def test_only_the_present_run_of_a_job_on_its_node_holds_room(job: Job, want: bool) -> None:
    assert holds_room(job, Held("node-1", job.id, 1)) is want


def test_a_suspicion_must_last_without_a_break() -> None:
    suspects: Suspects[str] = Suspects()

    assert suspects.confirmed({"a", "b"}, 0.0, 10.0) == []
    assert suspects.confirmed({"a"}, 5.0, 10.0) == []
    assert suspects.confirmed({"a", "b"}, 11.0, 10.0) == ["a"]


def test_a_late_dispatch_is_rung_until_its_time_is_over_or_its_node_is_gone() -> None:
    fresh, old, lost = (a_job().scheduled(node).job for node in ("n1", "n1", "n2"))
    assert fresh.scheduled_at is not None
    nodes = {"n1": a_node("n1", state=NodeState.DRAINING), "n2": a_node("n2", state=NodeState.LOST)}

    early = overdue_dispatches([fresh, lost], nodes, fresh.scheduled_at + timedelta(seconds=9), timedelta(seconds=30))
    late = overdue_dispatches([old], nodes, fresh.scheduled_at + timedelta(seconds=31), timedelta(seconds=30))

    assert (early.ring, early.take_back) == ((fresh,), (lost,))
    assert (late.ring, late.take_back) == ((), (old,))


def test_what_is_set_aside_comes_back() -> None:
    aside = SetAside()

    assert aside.add("a", now=0.0, seconds=10.0)
    assert not aside.add("a", now=1.0, seconds=10.0)
    assert aside.current(10.0) == {"a"}
    assert aside.current(11.0) == frozenset()


def test_a_node_is_judged_by_the_stores_clock() -> None:
    node = a_node()
    assert node.lease_until is not None

    assert as_leased(node, NOW).state is NodeState.READY
    assert as_leased(node, node.lease_until).state is NodeState.LOST


def test_as_many_members_are_read_as_could_be_placed() -> None:
    nodes = [a_node("n1"), a_node("n2", held=(an_allocation("x", vector(6)),))]
    small, large, none = a_head("s", count=99), a_head("l", of=vector(8), count=99), a_head("h", of=vector(9), count=99)
    heads = [small, large, none]

    assert members_wanted(a_snapshot(nodes, heads), 500) == {small.bucket_id: 10}
    assert members_wanted(a_snapshot(nodes, heads, slot_limit=5), 500) == {small.bucket_id: 4}
    assert members_wanted(a_snapshot(nodes, heads), 3) == {small.bucket_id: 3}
    assert members_wanted(a_snapshot(nodes, heads), 3, aside=2)[small.bucket_id] == 5
