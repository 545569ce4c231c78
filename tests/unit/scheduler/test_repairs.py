"""What counts as wrong, and for how long it may."""

from __future__ import annotations

import pytest

from app.domain.job import SUSPECT_AFTER, Job
from app.domain.nodes import Allocation, NodeState
from app.scheduler.repairs import Held, Suspects, allocation_for, holds_room, overdue_dispatches
from app.scheduler.rules import Rules
from app.scheduler.set_aside import SetAside
from app.scheduler.snapshot import as_leased, members_wanted
from tests.unit.domain.builders import a_job
from tests.unit.scheduler.builders import NOW, a_head, a_node, a_snapshot, an_allocation, vector


@pytest.mark.parametrize(
    ("job", "want"),
    [
        (a_job().scheduled().job, True),
        (a_job().running().job, True),
        (a_job().frozen().job, True),
        (a_job().released().job, False),
        (a_job().retrying().held().job, False),
        (a_job().scheduled().held().job, False),
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
    fresh, old, lost, gone = (Held(node, f"job_{node}", 1) for node in ("n1", "n1", "n2", "n3"))
    old = old._replace(job_id="job_old")
    nodes = {"n1": a_node("n1", state=NodeState.DRAINING), "n2": a_node("n2", state=NodeState.LOST)}

    found = overdue_dispatches([fresh, old, lost, gone], [old], nodes)

    assert (found.ring, found.take_back) == ((fresh,), (old, lost, gone))


def test_a_suspect_must_hold_its_whole_node_and_others_what_they_asked_for() -> None:
    node = a_node("node-1", vector(8, 32, 2))
    plain, suspect = a_job().running().job, a_job().but(infra_losses=SUSPECT_AFTER).running().job

    assert allocation_for(plain, node) == Allocation(plain.id, 1, plain.resources)
    assert allocation_for(suspect, node) == Allocation(suspect.id, 1, node.capacity, (0, 1))


def test_what_is_set_aside_comes_back() -> None:
    aside = SetAside()

    aside.add("a", now=0.0, seconds=10.0)
    aside.add("a", now=1.0, seconds=10.0)
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

    def wanted(slot_limit: int = 0, aside: int = 0, **rules: int) -> dict[str, int]:
        return members_wanted(a_snapshot(nodes, heads, slot_limit, rules=Rules(**rules)), aside)

    assert wanted(reservations=0) == {small.bucket_id: 10}
    assert wanted(slot_limit=5, reservations=0) == {small.bucket_id: 4}
    assert wanted(placements=3, reservations=0) == {small.bucket_id: 3}
    assert wanted(placements=3, reservations=0, aside=2)[small.bucket_id] == 5
    assert wanted(reservations=4) == {small.bucket_id: 14, large.bucket_id: 5, none.bucket_id: 4}


def test_of_suspects_as_many_are_read_as_there_are_empty_nodes() -> None:
    nodes = [a_node("n1"), a_node("n2"), a_node("n3", held=(an_allocation("x"),))]
    head = a_head("a", alone=True, count=99)

    assert members_wanted(a_snapshot(nodes, [head], rules=Rules(reservations=0))) == {head.bucket_id: 2}
