"""Changes that are supposed: what they do to a snapshot, what is told of them, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.domain.errors import Invalid
from app.domain.nodes import NodeState
from app.domain.priority import SECOND, Priority
from app.domain.queueing import Demand
from app.domain.records import BucketHead, Waiting
from app.domain.what_if import (
    AddJob,
    AddNodes,
    Cancel,
    DrainNode,
    MoveFirst,
    NodeKind,
    SetPriority,
    SetResources,
    Supposed,
    WhatIf,
    WithoutSelector,
)
from app.scheduler.encoding import encode
from app.scheduler.planner import plan
from app.scheduler.profile import Live
from app.scheduler.scene import set_out
from app.scheduler.snapshot import Snapshot
from app.scheduler.supposing import suppose
from app.scheduler.what_if import what_if
from tests.unit.scheduler.builders import a_head, a_node, a_snapshot, an_allocation, vector, where

NOW = 500 * SECOND
"""Before any of them is overdue."""
HOUR = 3_600 * SECOND
KINDS = {"big": NodeKind(vector(16, 64)), "zoned": NodeKind(vector(8, 32), {"zone": "a"})}


def all_of(*heads: BucketHead) -> list[Waiting]:
    return [Waiting(h.bucket_id, h.bucket, m) for h in heads for m in h.members]


def a_full_node(name: str = "n1", **more: Any) -> Any:
    return a_node(name, held=(an_allocation("run", vector(8, 32)),), **more)


def a_world(*heads: BucketHead, nodes: Any = None) -> Snapshot:
    """A node that a run of another hour holds whole, unless others are given."""
    found = [a_full_node()] if nodes is None else nodes
    live = {("run", 1): Live("run", 1, "default", Priority.NORMAL, NOW - HOUR, NOW + HOUR, NOW + 2 * HOUR, NOW + HOUR)}
    return a_snapshot(found, list(heads), now=NOW, live=live if nodes is None else {})


def told(snapshot: Snapshot, *changes: Supposed, of: list[Waiting] | None = None) -> WhatIf:
    return what_if(snapshot, changes, of if of is not None else all_of(*snapshot.heads), KINDS)


def seconds(found: WhatIf, job_id: str) -> tuple[float | None, float | None]:
    """Seconds until the job starts, before and after."""
    [difference] = [d for d in found.differences if d.job_id == job_id]
    sides = (difference.before, difference.after)
    return tuple(  # type: ignore[return-value]
        None if side is None or side.starts_at is None else (side.starts_at - found.at).total_seconds()
        for side in sides
    )


def test_without_changes_nothing_differs() -> None:
    found = told(a_world(a_head("a", "b")))

    assert (found.starts_now, found.differences, found.examined, found.waiting) == ((), (), 2, 2)


def test_the_end_of_a_run_lets_those_start_that_then_fit() -> None:
    found = told(a_world(a_head("a", "b", of=vector(6))), Cancel("run"))

    assert found.starts_now == ("a",)
    assert seconds(found, "a") == (3600.0, 0.0)


def test_a_class_more_urgent_goes_first() -> None:
    first, second = a_head("a", of=vector(8)), a_head("b", of=vector(7))

    found = told(a_world(first, second), SetPriority("b", Priority.URGENT))

    assert {d.job_id: (d.before.position, d.after.position) for d in found.differences if d.before and d.after} == {
        "a": (1, 2),
        "b": (2, 1),
    }


def test_a_class_that_is_lent_to_a_job_stays() -> None:
    head = a_head("a", priority=Priority.NORMAL)
    lent = replace(head, bucket=replace(head.bucket, priority=Priority.HIGH))
    scene = set_out(a_world(lent), all_of(lent))

    lower = suppose(scene, SetPriority("a", Priority.LOW), KINDS).jobs["a"]
    higher = suppose(scene, SetPriority("a", Priority.URGENT), KINDS).jobs["a"]

    assert (lower.bucket.priority, lower.member.demand.own) == (Priority.HIGH, Priority.LOW)
    assert higher.bucket.priority is Priority.URGENT


def test_the_first_position_is_before_all_of_the_class_and_no_other() -> None:
    urgent = a_head("u", priority=Priority.URGENT, of=vector(8))
    heads = (urgent, a_head("a", "b", of=vector(8)), a_head("c", of=vector(7), keys=(9.0,)))

    found = told(a_world(*heads), MoveFirst("c"))

    assert {d.job_id: d.after.position for d in found.differences if d.after} == {"c": 2, "a": 3, "b": 4}


def test_smaller_resources_fit_beside_what_runs() -> None:
    node = a_node(held=(an_allocation("run", vector(6, 8)),))
    live = {("run", 1): Live("run", 1, "default", Priority.NORMAL, 0, NOW + HOUR, NOW + 2 * HOUR, NOW + HOUR)}
    head = a_head("a", of=vector(4))

    found = told(a_snapshot([node], [head], now=NOW, live=live), SetResources("a", {"cpu_cores": 2}))

    assert found.starts_now == ("a",)


def test_nodes_of_a_kind_come_empty_and_labelled() -> None:
    head = a_head("a", selector={"zone": "a"})

    assert told(a_world(head), AddNodes(1, "big")).starts_now == ()
    assert told(a_world(head), AddNodes(1, "zoned")).starts_now == ("a",)
    assert told(a_world(head, nodes=[a_node()]), WithoutSelector("a")).starts_now == ("a",)


def test_a_node_that_drains_takes_nothing_more() -> None:
    nodes = [a_node("n1")]
    found = told(a_world(a_head("a"), nodes=nodes), DrainNode("n1"))

    assert seconds(found, "a") == (0.0, None)


def test_a_job_more_pushes_others_back_and_is_told_of() -> None:
    node, demand = a_node(), Demand(vector(8), Priority.URGENT)

    found = told(a_world(a_head("a", of=vector(8)), nodes=[node]), AddJob("default", demand))

    assert found.starts_now == ("added_0",)
    assert seconds(found, "a") == (0.0, 60.0)
    assert seconds(found, "added_0") == (None, 0.0)


def test_a_cancelled_job_is_gone() -> None:
    head = a_head("a", "b", of=vector(8))
    found = told(a_world(head), Cancel("a"))

    by_id = {d.job_id: d for d in found.differences}
    assert by_id["a"].after is None
    assert by_id["b"].after is not None and by_id["b"].after.position == 1


def test_changes_build_on_each_other() -> None:
    found = told(
        a_world(a_head("a", of=vector(16))), AddNodes(2, "big"), DrainNode("added_0_1"), DrainNode("added_0_2")
    )

    assert found.starts_now == ()


def test_what_is_not_there_is_named_by_its_path() -> None:
    changes = (
        Cancel("a"),
        SetPriority("x", Priority.LOW),
        DrainNode("node-2"),
        AddNodes(1, "bog"),
        SetResources("run", {}),
    )

    with pytest.raises(Invalid) as refused:
        told(a_world(a_head("a"), nodes=[a_full_node("node-1")]), *changes)

    errors = {e.path: (e.message, e.nearest) for e in refused.value.errors}
    assert list(errors) == ["changes[1].job_id", "changes[2].node_id", "changes[3].type", "changes[4].job_id"]
    assert errors["changes[2].node_id"] == ("there is no node node-2", "node-1")
    assert errors["changes[3].type"][1] == "big"
    assert "only a waiting job" in errors["changes[4].job_id"][0]


def test_more_than_a_hundred_changes_are_refused() -> None:
    with pytest.raises(Invalid, match="at most 100 changes at once, got 1,000"):
        told(a_world(), *[AddNodes(1, "big")] * 1_000)


def test_the_snapshot_is_not_touched() -> None:
    snapshot = a_world(a_head("a", "b", of=vector(8)))
    before = encode(snapshot)

    told(snapshot, Cancel("run"), AddNodes(1, "big"), MoveFirst("b"), DrainNode("n1"), Cancel("a"))

    assert encode(snapshot) == before


def test_jobs_that_are_set_out_are_planned_as_in_their_buckets() -> None:
    heads = (a_head("a", "b", "c", of=vector(3)), a_head("d", priority=Priority.HIGH, of=vector(2)))
    snapshot = a_world(*heads, nodes=[a_node("n1"), a_node("n2", vector(4))])

    assert where(plan(set_out(snapshot, all_of(*heads)).snapshot)) == where(plan(snapshot))


def test_a_bucket_whose_known_members_are_set_out_keeps_those_behind_them() -> None:
    head = a_head("a", "b", of=vector(8), count=50)

    found = told(a_world(head), MoveFirst("b"), of=all_of(head)[1:])
    scene = set_out(a_world(head), all_of(head))

    assert found.waiting == 50
    assert [h.count for h in scene.snapshot.heads] == [48, 1, 1]


def test_a_lost_node_is_no_node_for_new_work() -> None:
    nodes = [a_node("n1", state=NodeState.LOST)]

    assert told(a_world(a_head("a"), nodes=nodes), AddNodes(1, "big")).starts_now == ("a",)
