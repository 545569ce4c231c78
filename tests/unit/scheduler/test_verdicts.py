"""Why buckets wait: every reason that holds, the deciding one first."""

from __future__ import annotations

from app.domain.nodes import NodeState
from app.domain.records import BucketHead
from app.scheduler.verdicts import reason_counts, verdicts
from tests.unit.scheduler.builders import a_head, a_node, a_snapshot, an_allocation, vector


def codes(nodes: list, head: BucketHead, slot_limit: int = 0) -> list[str]:
    return [r.code for r in verdicts(a_snapshot(nodes, [head], slot_limit))[head.bucket_id]]


def test_no_ready_node_is_no_workers() -> None:
    assert codes([], a_head("a")) == ["no_workers"]
    assert codes([a_node(state=NodeState.LOST)], a_head("a", of=vector(999))) == ["no_workers"]


def test_more_than_the_largest_node_is_unsatisfiable_and_names_the_limit() -> None:
    head = a_head("a", of=vector(16))
    [reason] = verdicts(a_snapshot([a_node()], [head]))[head.bucket_id]

    assert reason.code == "unsatisfiable"
    assert reason.facts == {"cpu_cores_asked": 16, "cpu_cores_largest": 8}


def test_a_selector_that_no_node_matches_is_never_unsatisfiable() -> None:
    assert codes([a_node()], a_head("a", of=vector(999), selector={"zone": "x"})) == ["node_selector"]


def test_too_small_matching_nodes_are_unsatisfiable_although_others_could() -> None:
    nodes = [a_node("n1", labels={"zone": "a"}), a_node("n2", vector(64))]

    assert codes(nodes, a_head("a", of=vector(16), selector={"zone": "a"})) == ["unsatisfiable"]


def test_slots_and_resources_both_hold_and_slots_decide() -> None:
    full = a_node(held=(an_allocation("x", vector(8, 32)),))

    assert codes([full], a_head("a"), slot_limit=1) == ["concurrency_limit", "resources"]
    assert codes([a_node(held=(an_allocation("x"),))], a_head("a"), slot_limit=1) == ["concurrency_limit"]


def test_resources_name_the_node_that_lacks_least_and_fragmentation() -> None:
    nodes = [
        a_node("n1", held=(an_allocation("x", vector(7)),)),
        a_node("n2", held=(an_allocation("y", vector(5)),)),
    ]
    head = a_head("a", of=vector(4))
    [reason] = verdicts(a_snapshot(nodes, [head]))[head.bucket_id]

    assert reason.facts == {"node": "n2", "fragmented": 1, "cpu_cores_asked": 4, "cpu_cores_short": 1}
    head = a_head("a", of=vector(6))
    [reason] = verdicts(a_snapshot(nodes, [head]))[head.bucket_id]
    assert reason.facts["fragmented"] == 0


def test_what_fits_only_waits_for_its_turn() -> None:
    assert codes([a_node()], a_head("a")) == []


def test_a_draining_node_is_named_where_nothing_else_could_hold_it() -> None:
    drained = a_node("big", vector(64), labels={"zone": "a"}, state=NodeState.DRAINING)
    wide, here = a_head("a", of=vector(16)), a_head("b", selector={"zone": "a"})
    [alone] = verdicts(a_snapshot([drained], [wide]))[wide.bucket_id]
    found = verdicts(a_snapshot([drained, a_node()], [wide, here]))

    assert (alone.code, alone.facts["draining"]) == ("no_workers", "big")
    assert [(r.code, r.facts["draining"]) for rs in found.values() for r in rs] == [("resources", "big")] * 2
    assert codes([drained, a_node()], a_head("c", of=vector(99))) == ["unsatisfiable"]


def test_a_suspect_waits_for_an_empty_node_and_is_told_why() -> None:
    full = a_node("n1", held=(an_allocation("x"), an_allocation("y")))
    calm = a_node("n2", held=(an_allocation("z"),))
    head = a_head("a", alone=True)
    [reason] = verdicts(a_snapshot([full, calm], [head]))[head.bucket_id]

    assert (reason.code, reason.facts["node"], reason.facts["runs_on_node"]) == ("resources", "n2", 1)
    assert "crashed" in reason.summary
    assert codes([full, a_node("n3")], head) == []


def test_counts_are_of_jobs_by_deciding_reason() -> None:
    heads = [a_head("a", count=7), a_head("b", of=vector(16), count=3), a_head("c", of=vector(17), count=2)]
    snapshot = a_snapshot([a_node()], heads)

    assert reason_counts(snapshot, verdicts(snapshot)) == {"position": 7, "unsatisfiable": 5}
