"""The plan as people read it: what there is, what leaves when, what it costs, and why."""

from __future__ import annotations

from app.domain.capacity.deciding import decide
from app.domain.capacity.fleet import Fleet
from app.domain.capacity.loads import Rules
from app.domain.capacity.report import CapacityPlan, Count, Leaver, Pending, report
from app.domain.capacity.state import Asked, CapacityState
from app.domain.priority import SECOND
from tests.unit.domain.capacity.builders import a_fleet, a_node, a_type, asks, types, vector, wants

KINDS = types(a_type(price=2.0), a_type("gpu", vector(8, 32, 1), price=9.0))
NOW = 1_000 * SECOND


def told(fleet: Fleet, state: CapacityState | None = None) -> CapacityPlan:
    rules = Rules()
    return report(fleet, decide(fleet, KINDS, rules, {}), state or CapacityState(), KINDS, rules, "none", NOW)


def test_what_there_is_is_counted_with_what_drains_and_told_apart_from_what_boots() -> None:
    fleet = a_fleet(
        a_node("n1"),
        a_node("o1", kind=None),
        draining=[a_node("n2", asks(cores=8))],
        booting={"gpu": 2},
        aside={"gpu": 1},
    )
    plan = told(fleet)
    assert plan.present == (Count("gpu", 0, booting=2), Count("small", 2, draining=1), Count(None, 1))
    assert plan.cost_present == 2 * 2.0 + 3 * 9.0, "what boots and what stands aside costs as well"
    assert told(a_fleet()).present == (Count("gpu", 0), Count("small", 0))


def test_who_leaves_is_told_with_the_time_at_which_it_is_empty_but_not_who_is_had_back() -> None:
    busy, idle = a_node("n1", asks(cores=8), empty_in=90.0), a_node("n2")
    assert told(a_fleet(idle, draining=[busy])).drain == (Leaver("n1", NOW + 90 * SECOND), Leaver("n2", NOW))
    waits = wants(2, asks(cores=8), mean=9_999.0)
    plan = told(Fleet(draining=[idle], wants=[waits]))
    assert plan.drain == () and plan.add == (Count("small", 2),)


def test_why_is_told_of_what_can_be_planned_and_of_what_cannot() -> None:
    fits, never = wants(3, starts_in=1 / 3, bucket="a"), wants(2, asks(cores=64), bucket="b")
    plan = told(a_fleet(wants=[fits, never]))
    [reason], [unplannable] = plan.reasons, plan.unplannable
    assert (reason.bucket, reason.waiting, reason.target, reason.forecast) == ("a", 3, 1_800.0, 0.333)
    assert (unplannable.bucket, unplannable.forecast, unplannable.late) == ("b", None, False)


def test_a_plan_without_an_answer_is_told_as_such() -> None:
    asked = Asked("p1", NOW - SECOND, {"small": 1}, (), {"small": 1}, tries=3)
    plan = told(a_fleet(), CapacityState(asked=asked, trouble="no answer"))
    assert (plan.pending, plan.trouble) == (Pending("p1", NOW - SECOND, 3), "no answer")
    assert told(a_fleet()).pending is None
