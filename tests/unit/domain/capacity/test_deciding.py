"""When the fleet grows and shrinks, by which nodes, and what it says of its limits."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from app.domain.capacity.deciding import Decision, Limit, decide
from app.domain.capacity.fleet import Fleet
from app.domain.capacity.loads import Rules
from app.domain.priority import Priority
from tests.unit.domain.capacity.builders import a_fleet, a_node, a_type, asks, keeps_coming, types, vector, wants

FULL = asks(cores=8)


def decided(fleet: Fleet, *kinds: Any, most: dict[str, int] | None = None, **rules: Any) -> Decision:
    return decide(fleet, types(*kinds), Rules(**rules), most or {})


def limits(decision: Decision) -> set[str]:
    return {limit.limit for limit in decision.limits}


class TestUp:
    def test_from_nothing(self) -> None:
        decision = decided(a_fleet(wants=[wants(25, asks(cores=4))]))
        assert decision.desired == decision.add == {"small": 4}, "4 jobs a slot, 7 slots and one more, 2 a node"

    def test_not_for_jobs_that_start_in_time_anyway(self) -> None:
        waiting = [wants(40, asks(cores=4), starts_in=1_000.0)]
        decision = decided(a_fleet(a_node("n1", FULL), wants=waiting))
        assert decision.add == {}
        assert decision.desired == {"small": 7}, "it says what it would take to have them at once"

    def test_not_where_there_is_room_or_soon_will_be(self) -> None:
        assert decided(a_fleet(a_node("n1"), wants=[wants(2)])).add == {}
        assert decided(a_fleet(booting={"small": 1}, wants=[wants(2)])).add == {}

    def test_nodes_that_drain_are_had_back_first(self) -> None:
        draining = [a_node("n1", asks(cores=6), left=9.0), a_node("n2", asks(), left=1.0), a_node("n3")]
        decision = decided(Fleet(draining=draining, wants=[wants(2, asks(cores=6), mean=9_999.0)]))
        assert (decision.back, decision.add) == (("n2", "n3"), {"small": 1})

    def test_at_most_half_the_fleet_or_four_at_a_look_the_urgent_first(self) -> None:
        low = wants(99, FULL, mean=99_999.0, priority=Priority.LOW)
        urgent = wants(2, asks(cores=8, gpus=1), priority=Priority.URGENT)
        kinds = a_type(most=500), a_type("gpu", vector(8, 32, 1), price=9.0)
        decision = decided(a_fleet(wants=[low, urgent]), *kinds)
        assert decision.add == {"gpu": 3, "small": 1}
        assert Limit("step", None, 4, 112) in decision.limits
        many = [a_node(f"n{n:03}", FULL) for n in range(20)]
        assert decided(a_fleet(*many, wants=[low]), *kinds).add == {"small": 10}

    def test_the_least_of_a_type_is_there_without_any_job(self) -> None:
        assert decided(a_fleet(), a_type(least=2)).add == {"small": 2}
        assert decided(a_fleet(a_node("n1")), a_type(least=2)).add == {"small": 1}

    def test_the_most_of_a_type_is_a_limit(self) -> None:
        decision = decided(a_fleet(a_node("n1", FULL), wants=[wants(9, FULL, mean=9_999.0)]), a_type(most=2))
        assert (decision.desired, decision.add) == ({"small": 2}, {"small": 1})
        assert Limit("NODE_TYPES max", "small", 2) in decision.limits

    def test_a_type_that_could_not_hold_it_limits_nothing(self) -> None:
        kinds = a_type(most=1), a_type("tiny", vector(1, 1))
        decision = decided(a_fleet(a_node("n1", FULL), wants=[wants(9, FULL, mean=9_999.0)]), *kinds)
        assert decision.limits == (Limit("NODE_TYPES max", "small", 1),)

    def test_without_types_it_says_why_it_asks_for_nothing(self) -> None:
        decision = decide(a_fleet(wants=[wants(2)]), {}, Rules(), {})
        assert (decision.desired, decision.add) == ({}, {})
        assert limits(decision) == {"NODE_TYPES unset"}
        assert limits(decided(a_fleet())) == set()

    def test_nodes_that_stand_aside_count_against_the_most(self) -> None:
        decision = decided(a_fleet(wants=[wants(9, FULL, mean=9_999.0)], aside={"small": 2}), a_type(most=3))
        assert decision.add == {"small": 1}

    def test_a_type_that_did_not_come_is_not_asked_for_at_once(self) -> None:
        decision = decided(a_fleet(wants=[wants()], barred=frozenset({"small"})), a_type(least=1))
        assert decision.add == {} and Limit("boot failed", "small") in decision.limits

    def test_nothing_while_the_queue_is_paused(self) -> None:
        decision = decided(a_fleet(wants=[wants(9)], draining=[a_node("n1")], paused=True))
        assert (decision.add, decision.back, limits(decision)) == ({}, (), {"queue paused"})

    def test_the_limit_on_jobs_is_told_and_not_raised(self) -> None:
        decision = decided(a_fleet(wants=[wants(60, FULL, mean=9_999.0)], slots=10, slots_used=7), a_type(most=99))
        assert decision.add == {"small": 3}
        assert Limit("MAX_CONCURRENT_JOBS", None, 10, 73) in decision.limits

    def test_what_is_in_time_has_the_slots_that_the_late_leave(self) -> None:
        late, other = wants(2, FULL, mean=9_999.0), wants(9, FULL, mean=9_999.0, starts_in=1.0, bucket="b")
        decision = decided(a_fleet(wants=[late, other], slots=5), a_type(most=99))
        assert (decision.add, decision.desired) == ({"small": 3}, {"small": 5})

    def test_what_a_tenant_may_not_run_asks_for_no_node(self) -> None:
        """However many wait: a node more would stand idle."""
        bound = wants(60, FULL, mean=9_999.0, most=2)
        decision = decided(a_fleet(wants=[bound, wants(1, FULL, most=0, bucket="b")]), a_type(most=99))
        assert decision.add == {"small": 2}
        assert Limit("TENANT_QUOTAS", None, 2, 68) in decision.limits

    def test_what_no_node_holds_is_told_and_asks_for_none(self) -> None:
        large, labelled = wants(1, asks(cores=64)), wants(2, asks(disk="ssd"))
        decision = decided(
            a_fleet(wants=[large, labelled, wants(1, asks(cores=16))]), a_type(), a_type("mid", vector(16, 64))
        )
        assert decision.unplannable == {large, labelled}
        assert decision.add == {"mid": 2}

    def test_a_type_of_which_there_may_be_none_holds_nothing(self) -> None:
        large = wants(1, asks(cores=16))
        assert decided(a_fleet(wants=[large]), a_type(), a_type("mid", vector(16, 64), most=0)).unplannable == {large}

    def test_a_node_of_somebody_else_makes_a_job_plannable(self) -> None:
        other = a_node("big", asks(cores=60), kind=None, capacity=vector(64, 256))
        assert decided(a_fleet(other, wants=[wants(1, asks(cores=64))])).unplannable == frozenset()


class TestWorth:
    def saving(self, price: float, **prices: float) -> Decision:
        """One job of ten minutes that would wait an hour and two minutes, two of which a node takes to boot."""
        waiting = [wants(1, FULL, starts_in=3_720.0)]
        classes = {Priority(name): value for name, value in prices.items()}
        return decided(a_fleet(a_node("n1", FULL), wants=waiting), a_type(price=price), prices=classes)

    def test_without_a_price_of_the_class_the_target_decides(self) -> None:
        assert self.saving(1_000.0).add == self.saving(1_000.0, urgent=1.0).add == {"small": 2}

    def test_a_node_must_be_worth_what_it_saves(self) -> None:
        """Half of an hour on each of two slots, at 1 an hour; the node at least ten minutes, here 120 s + 300 s."""
        assert self.saving(3.0, normal=1.0).add == {"small": 2}
        dear = self.saving(3.1, normal=1.0)
        assert dear.add == {} and "CLASS_PRICES" in limits(dear)


class TestDown:
    def test_to_the_most_that_was_wanted_over_the_window(self) -> None:
        nodes = [a_node(f"n{n}") for n in range(5)]
        assert len(decided(a_fleet(*nodes), most={"small": 4}).drain) == 1
        assert decided(a_fleet(*nodes), most={"small": 5}).drain == ()

    def test_a_fifth_at_a_time(self) -> None:
        nodes = [a_node(f"n{n:02}") for n in range(20)]
        assert [n.id for n in decided(a_fleet(*nodes)).drain] == ["n00", "n01", "n02", "n03"]
        assert len(decided(a_fleet(*nodes[:3])).drain) == 1

    def test_the_emptiest_first_and_only_those_that_are_empty_soon(self) -> None:
        nodes = [
            a_node("n1", asks(), left=9.0, empty_in=60.0),
            a_node("n2", asks(), left=3.0, empty_in=60.0),
            a_node("n3", asks(), left=1.0, empty_in=9_000.0),
            a_node("n4", asks(cores=4)),
            *(a_node(f"x{n}", kind=None) for n in range(6)),
        ]
        assert [n.id for n in decided(a_fleet(*nodes)).drain] == ["n2"]

    @pytest.mark.parametrize("kept", [{"seasoned": False}, {"reserved": True}, {"kind": None}])
    def test_not_a_young_one_nor_one_that_is_promised_nor_one_of_somebody_else(self, kept: dict[str, Any]) -> None:
        assert decided(a_fleet(a_node("n1", **kept), a_node("n2", asks(cores=8), asks(memory_gb=0)))).drain == ()

    def test_not_below_the_least_of_a_type(self) -> None:
        nodes = [a_node(f"n{n}") for n in range(3)]
        assert decided(a_fleet(*nodes), a_type(least=3)).drain == ()

    def test_room_is_kept_for_what_waits_and_what_keeps_coming(self) -> None:
        nodes = [a_node("n1", asks(cores=8)), a_node("n2")]
        assert decided(a_fleet(*nodes, wants=[wants(starts_in=1.0)])).drain == ()
        assert decided(a_fleet(*nodes, streams=[keeps_coming(0.01)])).drain == ()
        assert [n.id for n in decided(a_fleet(*nodes)).drain] == ["n2"]

    def test_nodes_that_boot_and_are_not_needed_count(self) -> None:
        decision = decided(a_fleet(a_node("n1"), booting={"small": 1}), most={"small": 1})
        assert decision.desired == {"small": 0} and [n.id for n in decision.drain] == ["n1"]

    def test_not_while_the_same_type_grows(self) -> None:
        """Jobs that must be alone need nodes that hold nothing, although what these hold would fit onto one."""
        nodes = [a_node(f"n{n}", asks(), empty_in=60.0, left=60.0) for n in range(5)]
        decision = decided(a_fleet(*nodes, wants=[wants(1, asks(alone=True))]))
        assert (decision.desired, decision.add, decision.drain) == ({"small": 3}, {"small": 2}, ())

    def test_also_while_another_type_grows(self) -> None:
        kinds = a_type(), a_type("gpu", vector(8, 32, 1), price=9.0)
        nodes = [a_node("n1"), a_node("g1", kind="gpu", capacity=vector(8, 32, 1))]
        decision = decided(a_fleet(*nodes, wants=[wants(3, asks(gpus=1), mean=9_999.0)]), *kinds)
        assert decision.add == {"gpu": 3} and [n.id for n in decision.drain] == ["n1"]


def test_the_order_of_what_is_handed_over_does_not_matter() -> None:
    random = Random(7)
    nodes = [a_node(f"n{n}", *[asks(cores=random.choice([1, 2, 4]))] * random.randrange(3)) for n in range(9)]
    waiting = [wants(n, asks(cores=n), bucket=f"b{n}", priority=random.choice(list(Priority))) for n in range(1, 9)]
    streams = [keeps_coming(n / 999, asks(cores=n)) for n in range(1, 5)]
    fleet = a_fleet(*nodes, wants=waiting, streams=streams, draining=[a_node("d1"), a_node("d2", asks())])
    want = decided(fleet, a_type(), a_type("big", vector(64, 256), price=2.0))
    for _ in range(20):
        for some in (nodes, waiting, streams):
            random.shuffle(some)
        mixed = replace(fleet, ready=tuple(nodes), wants=tuple(waiting), streams=tuple(streams))
        assert decided(mixed, a_type("big", vector(64, 256), price=2.0), a_type()) == want
