"""The planner: order, fit, slots, labels, GPUs, the cap."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.nodes import NodeState
from app.domain.priority import Priority
from app.scheduler.placement import pick_gpus, stranded_gpus
from tests.unit.scheduler.builders import a_head, a_node, an_allocation, planned, vector, where


def test_classes_are_strict_and_keys_decide_inside_a_class() -> None:
    heads = [
        a_head("low", priority=Priority.LOW, keys=(1.0,)),
        a_head("late", keys=(3.0,)),
        a_head("early", of=vector(2), keys=(2.0,)),
        a_head("urgent", priority=Priority.URGENT, keys=(9.0,)),
    ]

    made = planned([a_node()], heads)

    assert [p.job_id for p in made.placements] == ["urgent", "early", "late", "low"]


def test_a_bucket_gives_its_members_in_turn_between_those_of_others() -> None:
    heads = [a_head("a1", "a2", "a3", keys=(1.0, 3.0, 5.0)), a_head("b1", "b2", of=vector(2), keys=(2.0, 4.0))]

    made = planned([a_node()], heads)

    assert [p.job_id for p in made.placements] == ["a1", "b1", "a2", "b2", "a3"]


def test_a_blocked_large_job_does_not_hide_a_small_one() -> None:
    made = planned([a_node()], [a_head("whole", "whole2", of=vector(16)), a_head("small", keys=(9.0,))])

    assert where(made) == {"small": "n1"}


def test_nothing_is_placed_beyond_what_is_free() -> None:
    held = (an_allocation("other", vector(5)),)

    made = planned([a_node(held=held)], [a_head("a", "b", "c", "d")])

    assert [p.job_id for p in made.placements] == ["a", "b", "c"]


@pytest.mark.parametrize("state", [NodeState.DRAINING, NodeState.LOST])
def test_only_ready_nodes_take_work(state: NodeState) -> None:
    assert planned([a_node(state=state)], [a_head("a")]).placements == ()


def test_labels_must_hold_the_selector() -> None:
    nodes = [a_node("n1"), a_node("n2", labels={"zone": "b", "disk": "ssd"})]

    assert where(planned(nodes, [a_head("a", selector={"zone": "b"})])) == {"a": "n2"}
    assert where(planned(nodes, [a_head("a", selector={"zone": "b", "disk": "hdd"})])) == {}


def test_slots_count_every_allocation_of_every_node() -> None:
    draining = a_node("n0", held=(an_allocation("x"),), state=NodeState.DRAINING)

    made = planned([draining, a_node("n1")], [a_head("a", "b", "c")], slot_limit=3)

    assert [p.job_id for p in made.placements] == ["a", "b"]


def test_the_fullest_node_that_fits_is_taken() -> None:
    nodes = [a_node("empty"), a_node("half", held=(an_allocation("x", vector(4, 16)),))]

    assert where(planned(nodes, [a_head("a", of=vector(2))])) == {"a": "half"}
    assert where(planned(nodes, [a_head("a", of=vector(6))])) == {"a": "empty"}


def test_nodes_that_are_equally_good_are_taken_by_id() -> None:
    assert where(planned([a_node("n1"), a_node("n2")], [a_head("a")])) == {"a": "n1"}


def test_work_without_gpus_keeps_off_gpu_nodes_while_others_have_room() -> None:
    nodes = [a_node("gpu", vector(8, 32, 4)), a_node("plain", vector(32, 128))]

    assert where(planned(nodes, [a_head("a", of=vector(4))])) == {"a": "plain"}
    assert where(planned(nodes[:1], [a_head("a", of=vector(4))])) == {"a": "gpu"}


def test_a_job_goes_where_it_strands_no_gpu() -> None:
    tight = a_node("a-tight", vector(8, 32, 4), (an_allocation("x", vector(2, 8)),))
    roomy = a_node("b-roomy", vector(64, 256, 4))

    assert where(planned([tight, roomy], [a_head("j", of=vector(5, 4, 1))])) == {"j": "b-roomy"}


def test_gpu_jobs_are_packed_so_that_whole_nodes_stay_whole() -> None:
    started = a_node("b", vector(32, 128, 8), (an_allocation("x", vector(4, 16, 2), (0, 1)),))

    made = planned([a_node("a", vector(32, 128, 8)), started], [a_head("j", of=vector(4, 16, 2))])

    assert [(p.node_id, p.gpu_indices) for p in made.placements] == [("b", (2, 3))]


def test_a_suspect_takes_a_whole_empty_node_and_may_use_the_gpus_it_asked_for() -> None:
    busy = a_node("a-busy", vector(32, 128, 8), (an_allocation("x"),))
    suspects = a_head("s", "s2", of=vector(4, 16, 2), alone=True)

    made = planned([busy, a_node("b-empty", vector(32, 128, 4))], [suspects, a_head("plain", keys=(9.0,))])

    [suspect, plain] = made.placements
    assert (suspect.job_id, suspect.node_id, suspect.vector) == ("s", "b-empty", vector(32, 128, 4))
    assert (suspect.gpu_indices, suspect.job_gpus, suspect.alone) == ((0, 1, 2, 3), (0, 1), True)
    assert (plain.job_id, plain.node_id, plain.alone) == ("plain", "a-busy", False)


def test_a_suspect_never_joins_what_was_placed_in_the_same_plan() -> None:
    made = planned([a_node()], [a_head("first", keys=(1.0,)), a_head("suspect", alone=True, keys=(2.0,))])

    assert where(made) == {"first": "n1"}


def test_the_cap_stops_the_plan_and_says_so() -> None:
    head = replace(a_head("a", "b"), count=9)

    made = planned([a_node()], [head], most=2)

    assert len(made.placements) == 2
    assert made.capped
    assert not planned([a_node()], [a_head("a", "b")], most=2).capped


def test_one_bad_bucket_is_named_and_the_others_are_planned() -> None:
    bad = a_head("bad")
    nonsense = replace(bad.members[0], demand=replace(bad.members[0].demand, vector=None))  # type: ignore[arg-type]
    bad = replace(bad, members=(nonsense,), bucket_id="broken")

    made = planned([a_node()], [bad, a_head("good", keys=(9.0,))])

    assert where(made) == {"good": "n1"}
    assert list(made.faults) == ["broken"]


@pytest.mark.parametrize(
    ("free", "count", "want"),
    [
        ((0, 1, 2, 3), 2, (0, 1)),
        ((0, 1, 2, 3, 4, 5, 6, 7), 1, (0,)),
        ((1, 4, 5, 6, 7), 1, (1,)),
        ((2, 3, 4, 5, 6, 7), 2, (2, 3)),
        ((0, 1, 2, 3, 6, 7), 2, (6, 7)),
        ((1, 2, 5), 2, (1, 2)),
        ((0, 1, 2, 3), 3, (0, 1, 2)),
        ((0, 1), 0, ()),
    ],
)
def test_gpus_come_out_of_the_smallest_free_aligned_block(
    free: tuple[int, ...], count: int, want: tuple[int, ...]
) -> None:
    assert pick_gpus(free, count) == want


def test_a_free_gpu_without_cpu_beside_it_is_stranded() -> None:
    node = vector(8, 32, 4)

    assert stranded_gpus(node, cpu=4_000, memory=32 << 10, gpus=4) == 0
    assert stranded_gpus(node, cpu=2_000, memory=32 << 10, gpus=4) == 2
    assert stranded_gpus(node, cpu=8_000, memory=0, gpus=3) == 3
