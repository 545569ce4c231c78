"""A snapshot as the autoscaler looks at it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.capacity.fleet import Fleet
from app.domain.capacity.loads import Rules as CapacityRules
from app.domain.capacity.state import CapacityState
from app.domain.estimates import Forecast
from app.domain.nodes import Drain, NodeState
from app.domain.priority import SECOND, Priority, moment
from app.domain.promises import Promise
from app.domain.queueing import Demand, Resolution
from app.domain.records import BucketHead, Member
from app.scheduler.fleet import View
from app.scheduler.forecast import NOT_IN_SIGHT
from app.scheduler.profile import Live
from app.scheduler.rules import Quota, Rules
from app.scheduler.snapshot import Snapshot
from tests.unit.domain.capacity.builders import a_type, types
from tests.unit.scheduler.builders import NOW, a_head, a_node, a_snapshot, an_allocation, vector

T0 = 1_000 * SECOND
SMALL = {"node_type": "small"}


def seen(snapshot: Snapshot, state: CapacityState | None = None, forecast: Forecast | None = None) -> Fleet:
    expected = forecast or Forecast(moment(snapshot.now), {}, 0.0)
    return View(snapshot, expected, state or CapacityState(), types(a_type()), CapacityRules()).fleet()


def live(job_id: str, seconds_left: float, **parts: object) -> Live:
    end = T0 + round(seconds_left * SECOND)
    return Live(job_id, 1, "default", Priority.NORMAL, T0 - 60 * SECOND, end, end, end, **parts)  # type: ignore[arg-type]


def test_a_node_with_what_is_left_of_its_runs() -> None:
    runs = (an_allocation("job_a", vector(4, 4)), an_allocation("job_b", vector(2, 2)))
    known = {
        ("job_a", 1): live("job_a", 100.0, selector=(("disk", "ssd"),)),
        ("job_b", 1): live("job_b", -10.0),
    }
    [node] = seen(a_snapshot([a_node("n1", held=runs, labels=SMALL)], [], now=T0, live=known)).ready
    assert node.type == "small" and node.free == vector(2, 26)
    assert node.runs == ((vector(4, 4), (("disk", "ssd"),), False), (vector(2, 2), (), False))
    assert node.empty_in == 100.0
    assert node.left == pytest.approx(100.0 * 0.5 + 30.0 * 0.25), "one beyond its time takes half as long again"


def test_who_stands_where() -> None:
    fleet_drain = Drain("autoscaler", None, NOW, patient=True)
    nodes = [
        a_node("a", labels=SMALL),
        a_node("b"),
        replace(a_node("c", labels=SMALL, state=NodeState.DRAINING), drain=fleet_drain),
        replace(a_node("d", labels=SMALL, state=NodeState.DRAINING), drain=replace(fleet_drain, patient=False)),
        a_node("e", labels=SMALL, state=NodeState.DRAINING),
        replace(a_node("f", labels=SMALL, state=NodeState.LOST), drain=fleet_drain),
        replace(a_node("g", labels=SMALL, state=NodeState.DRAINING), drain=fleet_drain),
    ]
    fleet = seen(a_snapshot(nodes, [], now=T0), CapacityState(leaving={"g": T0}))
    assert {n.id: n.type for n in fleet.ready} == {"a": "small", "b": None}
    assert [n.id for n in fleet.draining] == ["c"]
    assert fleet.aside == {"small": 3} and fleet.paid() == {"small": 5}


def test_who_may_be_given_up() -> None:
    demand = Demand(vector())
    promised = Promise("job_x", "b", T0, T0, T0, 2, demand)
    nodes = [a_node(name, labels=SMALL) for name in "abc"]
    state = CapacityState(since={"a": T0 - 600 * SECOND, "b": T0 - 600 * SECOND, "c": T0 - 599 * SECOND})
    fleet = seen(a_snapshot(nodes, [], now=T0, promises=(promised,)), state)
    assert {n.id: (n.seasoned, n.reserved) for n in fleet.ready} == {
        "a": (True, False), "b": (True, True), "c": (False, False),
    }  # fmt: skip
    assert not seen(a_snapshot(nodes[:1], [], now=T0)).ready[0].seasoned, "one that is seen for the first time is new"


def test_who_waits_how_long_and_until_when() -> None:
    head = a_head("job_a", "job_b", of=vector(2), keys=(T0 - 50.0 * SECOND, float(T0)), mean=30 * SECOND, count=9)
    board = Forecast(moment(T0 - 5 * SECOND), {head.bucket_id: ((1, 10.0), (9, 90.0))}, 0.0)
    [want] = seen(a_snapshot([], [head], now=T0), forecast=board).wants
    assert (want.waiting, want.mean, want.waited, want.starts_in) == (9, 30.0, 50.0, 85.0)


def test_a_start_that_is_not_in_sight() -> None:
    head = a_head("job_a")
    board = Forecast(moment(T0), {head.bucket_id: ((1, NOT_IN_SIGHT),)}, 0.0)
    assert seen(a_snapshot([], [head], now=T0), forecast=board).wants[0].starts_in is None


def test_a_bucket_that_is_not_exact_stands_for_what_is_known_of_it() -> None:
    small, large = Demand(vector(1), mean=10 * SECOND), Demand(vector(5), mean=40 * SECOND)
    members = tuple(Member(f"job_{n}", float(n), large if n == 2 else small) for n in range(4))
    exact = a_head("job_x")
    mixed = BucketHead("mixed", replace(exact.bucket, resolution=Resolution.MIXED), 40, members)
    wants = seen(a_snapshot([], [mixed], now=T0)).wants
    assert {w.request[0]: (w.waiting, w.mean) for w in wants} == {vector(1): (30, 10.0), vector(5): (10, 40.0)}


def test_a_bucket_of_which_nobody_is_known_is_left_out() -> None:
    assert seen(a_snapshot([], [replace(a_head("job_a"), members=(), count=3)], now=T0)).wants == []


def test_what_ends_when_by_what_it_holds() -> None:
    runs = (an_allocation("job_a", vector(4)), an_allocation("job_b", vector(4)), an_allocation("job_c", vector(1)))
    known = {(f"job_{x}", 1): live(f"job_{x}", t) for x, t in (("a", 30.0), ("b", 10.0), ("c", 20.0))}
    fleet = seen(a_snapshot([a_node("n1", held=runs)], [], now=T0, live=known))
    assert {k: sorted(v) for k, v in fleet.ends.items()} == {vector(4): [10.0, 30.0], vector(1): [20.0]}


def test_quotas_bound_how_many_may_run_the_most_urgent_first() -> None:
    quota = Quota((8_000, None, None, None), 5)
    heads = [
        a_head("job_a", of=vector(2), tenant="vision", priority=Priority.LOW, count=9),
        a_head("job_b", of=vector(3), tenant="vision", priority=Priority.HIGH, count=9),
        a_head("job_c", of=vector(2), tenant="other", count=9),
    ]
    held = {("job_r", 1): Live("job_r", 1, "vision", Priority.NORMAL, T0, T0, T0, T0)}
    node = a_node("n1", held=(an_allocation("job_r", vector(1)),))
    snapshot = a_snapshot([node], heads, now=T0, live=held, rules=Rules(quotas={"vision": quota}))
    most = {(w.priority, w.request[0]): w.most for w in seen(snapshot).wants}
    assert most == {
        (Priority.HIGH, vector(3)): 2, (Priority.LOW, vector(2)): 0, (Priority.NORMAL, vector(2)): None,
    }  # fmt: skip


def test_slots_and_the_pause_are_those_of_the_planner() -> None:
    node = a_node("n1", held=(an_allocation("job_a"),))
    fleet = seen(a_snapshot([node], [], slot_limit=4, now=T0, paused=True))
    assert (fleet.slots, fleet.slots_used, fleet.paused) == (4, 1, True)
