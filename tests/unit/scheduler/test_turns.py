"""The order of candidates: bands of tenants, pins, the guarantee lane, short jobs first once promises are given."""

from __future__ import annotations

from app.domain.priority import SECOND, Priority
from app.domain.queueing import Resolution
from app.domain.records import BucketHead
from app.scheduler.profile import Live
from app.scheduler.rules import Quota, Rules
from tests.unit.scheduler.builders import a_head, a_node, an_allocation, in_lane, planned, vector, where

MINUTE = 60 * SECOND


def order(made: object) -> list[str]:
    return [p.job_id for p in made.placements]  # type: ignore[attr-defined]


def a_run(job_id: str, tenant: str) -> Live:
    return Live(job_id, 1, tenant, Priority.NORMAL, 0, 60 * MINUTE, 120 * MINUTE)


def test_the_tenant_above_its_share_goes_behind() -> None:
    node = a_node(capacity=vector(16, 64), held=(an_allocation("x", vector(8)),))
    heads = [a_head("theirs", tenant="loud", keys=(1.0,)), a_head("ours", tenant="quiet", keys=(2.0,))]

    made = planned([node], heads, live={("x", 1): a_run("x", "loud")}, history={"loud": (8_000.0, 0.0, 0.0, 0.0)})

    assert order(made) == ["ours", "theirs"]


def test_a_tenant_alone_is_treated_as_if_there_were_no_bands() -> None:
    node = a_node(capacity=vector(16, 64), held=(an_allocation("x", vector(12)),))
    heads = [a_head("a", keys=(1.0,)), a_head("b", of=vector(2), keys=(2.0,))]

    assert order(planned([node], heads, live={("x", 1): a_run("x", "default")})) == ["a", "b"]


def test_bands_rise_while_a_plan_grows() -> None:
    """Two tenants that held their shares until now and have nothing any more: the filling is progressive."""
    held = (4_000.0, 0.0, 0.0, 0.0)
    many = a_head(*[f"l{n}" for n in range(8)], tenant="loud", keys=tuple(float(n) for n in range(8)))
    few = a_head(*[f"q{n}" for n in range(4)], tenant="quiet", keys=tuple(100.0 + n for n in range(4)))

    made = planned([a_node(capacity=vector(8, 64))], [many, few], history={"loud": held, "quiet": held})

    assert sorted(order(made)) == ["l0", "l1", "l2", "l3", "q0", "q1", "q2", "q3"]


def test_weights_divide_the_cluster() -> None:
    heads = [
        a_head(*[f"a{n}" for n in range(8)], tenant="a"),
        a_head(*[f"b{n}" for n in range(8)], tenant="b", keys=tuple(100.0 + n for n in range(8))),
    ]
    rules = Rules(weights={"a": 1.0, "b": 3.0})

    made = planned([a_node(capacity=vector(8, 64))], heads, rules=rules, history={"a": (2_000.0, 0.0, 0.0, 0.0)})

    assert sum(job.startswith("b") for job in order(made)) >= 6


def test_a_pinned_job_stands_where_it_was_put_whatever_its_tenant_holds() -> None:
    node = a_node(capacity=vector(16, 64), held=(an_allocation("x", vector(8)),))
    live, history = {("x", 1): a_run("x", "loud")}, {"loud": (8_000.0, 0.0, 0.0, 0.0)}
    heads = [a_head("theirs", tenant="loud", keys=(1.0,), pin=0), a_head("ours", tenant="quiet", keys=(2.0,))]

    assert order(planned([node], heads, live=live, history=history)) == ["theirs", "ours"]


def test_classes_outrank_bands() -> None:
    node = a_node(capacity=vector(16, 64), held=(an_allocation("x", vector(8)),))
    live, history = {("x", 1): a_run("x", "loud")}, {"loud": (8_000.0, 0.0, 0.0, 0.0)}
    heads = [
        a_head("theirs", tenant="loud", priority=Priority.HIGH),
        a_head("ours", tenant="quiet", priority=Priority.NORMAL),
    ]

    assert order(planned([node], heads, live=live, history=history)) == ["theirs", "ours"]


def an_aged_sweep() -> BucketHead:
    return a_head(*[f"old{n}" for n in range(4)], priority=Priority.LOW, mean=60 * MINUTE)


def test_overdue_jobs_are_next_while_there_is_credit_for_them() -> None:
    urgent = a_head("u1", "u2", "u3", "u4", priority=Priority.URGENT, mean=60 * MINUTE)
    nodes, sweep = [a_node(capacity=vector(4, 64))], an_aged_sweep()

    made = planned(nodes, [urgent, sweep], lane=in_lane(sweep), credit=0)

    assert order(made) == ["old0", "u1", "u2", "u3"]
    assert [p.overdue for p in made.placements] == [True, False, False, False]
    assert made.credit < 0


def test_the_debt_of_the_lane_is_worked_off_by_the_main_order() -> None:
    """A fifth of what is dispatched: after one overdue job of a cost the main order has four to five times that."""
    urgent = a_head(*[f"u{n}" for n in range(12)], priority=Priority.URGENT, mean=60 * MINUTE)
    sweep = an_aged_sweep()

    made = planned([a_node(capacity=vector(12, 64))], [urgent, sweep], lane=in_lane(sweep), credit=0)

    overdue = [n for n, p in enumerate(made.placements) if p.overdue]
    assert overdue == [0, 5, 10]


def test_without_credit_no_overdue_job_goes_before() -> None:
    urgent, sweep = a_head("u1", priority=Priority.URGENT), an_aged_sweep()

    made = planned([a_node(capacity=vector(1, 64))], [urgent, sweep], lane=in_lane(sweep), credit=-1)

    assert order(made) == ["u1"]


def test_credit_is_capped() -> None:
    endless = a_head("a", mean=10**6 * SECOND)

    assert planned([a_node(capacity=vector(1, 64))], [endless]).credit == round(0.2 * 600 * SECOND)


def test_once_the_promises_are_given_short_jobs_go_first() -> None:
    node = a_node(held=(an_allocation("x", vector(6)),))
    live = {("x", 1): a_run("x", "default")}
    heads = [
        a_head("whole", of=vector(8), keys=(0.0,)),
        a_head("long", keys=(1.0,), mean=30 * MINUTE, cautious=30 * MINUTE, hard=40 * MINUTE),
        a_head("short", keys=(2.0,), mean=MINUTE, cautious=MINUTE, hard=40 * MINUTE),
    ]

    assert order(planned([node], heads, live=live, rules=Rules(reservations=1))) == ["short", "long"]
    assert order(planned([node], heads[1:], live=live, rules=Rules(reservations=1))) == ["long", "short"]


def test_each_member_of_a_mixed_bucket_has_its_turn() -> None:
    large, little = a_head("large", of=vector(16)), a_head("little", keys=(1.0,))
    mixed = a_head()
    mixed = BucketHead("mixed", mixed.bucket.at(Resolution.MIXED), 2, (large.members[0], little.members[0]))

    assert where(planned([a_node()], [mixed])) == {"little": "n1"}


def test_a_tenant_over_its_quota_waits_and_the_others_go_on() -> None:
    quotas = {"small": Quota((2_000, None, None, None))}
    mine = a_head("m1", "m2", "m3", tenant="small")

    made = planned([a_node()], [mine, a_head("theirs", tenant="other", keys=(9.0,))], rules=Rules(quotas=quotas))

    assert sorted(order(made)) == ["m1", "m2", "theirs"]
    assert made.over_quota is not None
    over = made.over_quota[mine.bucket_id]
    assert (over.dimension, over.amount, over.limit) == (0, 3_000, 2_000)


def test_a_quota_of_runs() -> None:
    made = planned([a_node()], [a_head("m1", "m2")], rules=Rules(quotas={"default": Quota(running=1)}))

    assert order(made) == ["m1"]


def test_nothing_starts_while_the_queue_is_paused() -> None:
    assert order(planned([a_node()], [a_head("a")], paused=True)) == []


def test_a_liked_label_decides_between_nodes_that_would_both_do() -> None:
    nodes = [a_node("n1"), a_node("n2", labels={"disk": "ssd"})]

    assert where(planned(nodes, [a_head("a")])) == {"a": "n1"}
    assert where(planned(nodes, [a_head("a", prefer=(("disk", "ssd"),))])) == {"a": "n2"}
    assert where(planned(nodes[:1], [a_head("a", prefer=(("disk", "ssd"),))])) == {"a": "n1"}
