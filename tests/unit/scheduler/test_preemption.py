"""Who makes way for an urgent job, where, and how often."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.nodes import Node
from app.domain.priority import RANK, Priority
from app.domain.resources import total
from app.scheduler.planner import Plan
from app.scheduler.profile import Live
from app.scheduler.rules import Rules
from tests.unit.scheduler.builders import a_head, a_node, an_allocation, planned, seconds, vector, where

NOW = seconds(10_000)
ON = Rules(preemption=True)


def a_run(job_id: str, priority: Priority = Priority.LOW, **more: Any) -> Live:
    known: dict[str, Any] = {
        "tenant": "default",
        "started": seconds(1_000),
        "soft_end": seconds(50_000),
        "hard_end": seconds(60_000),
        "mean_end": seconds(50_000),
        "preemptible": True,
    }
    return Live(job_id, 1, priority=priority, **{**known, **more})


def asked(nodes: list[Node], runs: list[Live], cores: float = 8, rules: Rules = ON, **more: Any) -> Plan:
    urgent = a_head("urgent", of=vector(cores), priority=Priority.URGENT)
    live = {(run.job_id, 1): run for run in runs}
    return planned(nodes, [urgent], rules=rules, live=live, now=NOW, **more)


def full(name: str = "n1", *runs: tuple[str, float]) -> Node:
    return a_node(name, held=tuple(an_allocation(job_id, vector(cores)) for job_id, cores in runs))


def victims(made: Plan) -> list[str]:
    return sorted(e.job_id for e in made.evictions)


def test_it_is_off_unless_the_rules_say_otherwise() -> None:
    node, run = full("n1", ("a", 8)), a_run("a")

    assert victims(asked([node], [run], rules=Rules())) == []
    assert victims(asked([node], [run])) == ["a"]


def test_the_room_is_promised_to_the_urgent_job_and_nobody_is_asked_twice() -> None:
    node = full("n1", ("a", 8))
    made = asked([node], [a_run("a")])
    [promise] = made.promises
    leaving = a_run("a", soft_end=seconds(1_000), mean_end=seconds(1_000))
    kept = {"promises": made.promises}

    assert (promise.job_id, promise.node_id) == ("urgent", "n1")
    assert where(made) == {}
    assert victims(asked([node], [replace(leaving, soft_end=NOW + seconds(20))], **kept)) == []


def test_only_preemptible_runs_of_lower_classes_that_have_run_for_a_while_and_not_too_often() -> None:
    node = full("n1", ("a", 8))
    for run in (
        a_run("a", preemptible=False),
        a_run("a", Priority.URGENT),
        a_run("a", started=NOW - seconds(30)),
        a_run("a", paused=True),
        a_run("a", preempted=2),
        a_run("a", soft_end=NOW + seconds(60)),
    ):
        assert victims(asked([node], [run])) == []


def test_no_more_make_way_than_is_needed() -> None:
    """In the order of taking the small ones come first, and turn out to be needless."""
    node = full("n1", ("a", 1), ("b", 1), ("c", 6))
    runs = [a_run("a", started=seconds(3_000)), a_run("b", started=seconds(2_000)), a_run("c")]

    assert victims(asked([node], runs, cores=6)) == ["c"]
    assert victims(asked([node], runs, cores=7)) == ["a", "c"]


def test_the_lowest_class_is_hurt_first_and_least_is_lost() -> None:
    nodes = [full("n1", ("normal", 8)), full("n2", ("old", 8)), full("n3", ("young", 8))]
    runs = [a_run("normal", Priority.NORMAL), a_run("old"), a_run("young", started=seconds(9_000))]

    assert victims(asked(nodes, runs)) == ["young"]
    assert victims(asked(nodes[:2], runs)) == ["old"]
    assert victims(asked(nodes[:1], runs)) == ["normal"]


def test_what_has_a_checkpoint_loses_nothing() -> None:
    nodes = [full("n1", ("kept", 8)), full("n2", ("young", 8))]
    runs = [a_run("kept", has_checkpoint=True), a_run("young", started=seconds(9_000))]

    assert victims(asked(nodes, runs)) == ["kept"]


def test_a_wait_that_is_short_without_it_is_waited() -> None:
    soon = a_run("b", preemptible=False, soft_end=NOW + seconds(80))
    nodes = [full("n1", ("a", 8)), full("n2", ("b", 8))]

    assert victims(asked(nodes, [a_run("a"), soon])) == []


def test_there_is_a_budget_by_the_minute_and_by_the_hour() -> None:
    node, run = full("n1", ("a", 8)), a_run("a")
    minute, hour = NOW - seconds(30), NOW - seconds(1_000)

    assert victims(asked([node], [run], preempted=(minute,))) == ["a"]
    assert victims(asked([node], [run], preempted=(minute, minute + 1))) == []
    assert victims(asked([node], [run], preempted=(hour, hour + 1))) == []
    assert victims(asked([node], [run], preempted=(NOW - seconds(3_601),) * 9)) == ["a"]


def test_only_an_urgent_job_is_made_way_for() -> None:
    high = a_head("high", of=vector(8), priority=Priority.HIGH)
    live = {("a", 1): a_run("a")}

    assert planned([full("n1", ("a", 8))], [high], rules=ON, live=live, now=NOW).evictions == ()


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from(list(Priority)), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 8),
)
def test_the_victims_are_a_minimal_set_of_lower_classes(found: list[tuple[int, Priority, bool]], cores: int) -> None:
    names = [(f"r{n}", c) for n, (c, _, _) in enumerate(found)]
    node = a_node("n1", vector(24, 64), tuple(an_allocation(j, vector(c)) for j, c in names))
    runs = {f"r{n}": a_run(f"r{n}", p, preemptible=able) for n, (_, p, able) in enumerate(found)}
    node = replace(node, capacity=node.allocated, free=node.capacity - node.capacity)

    made = asked([node], list(runs.values()), cores=cores)

    taken = {e.job_id for e in made.evictions}
    assert all(runs[j].preemptible and RANK[runs[j].priority] > RANK[Priority.URGENT] for j in taken)
    if taken:
        freed = total([a.vector for a in node.allocations if a.job_id in taken])
        assert vector(cores).cpu_millicores <= freed.cpu_millicores
        for job_id in taken:
            less = total([a.vector for a in node.allocations if a.job_id in taken - {job_id}])
            assert not vector(cores).fits(less)
