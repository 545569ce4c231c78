"""Promises to blocked jobs, and what may start beside them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.nodes import Node, NodeState
from app.domain.priority import SECOND, Priority
from app.domain.promises import OVERDUE_RANK, Promise
from app.domain.records import BucketHead
from app.scheduler.profile import Live
from app.scheduler.rules import Rules
from tests.unit.scheduler.builders import a_head, a_node, an_allocation, in_lane, planned, vector, where

MINUTE = 60 * SECOND
HARD = 100 * MINUTE
SLACK = Rules().slack


def a_run(job_id: str, soft: int, hard: int = HARD, priority: Priority = Priority.NORMAL) -> Live:
    return Live(job_id, 1, "default", priority, 0, soft, hard)


def busy(name: str = "n1", cores: float = 6) -> Node:
    return a_node(name, held=(an_allocation(f"run-{name}", vector(cores)),))


def running(*names: str, soft: int = 10 * MINUTE) -> dict[tuple[str, int], Live]:
    return {(f"run-{n}", 1): a_run(f"run-{n}", soft) for n in names}


def whole(job_id: str = "whole", **more: object) -> BucketHead:
    return a_head(job_id, of=vector(8), **more)  # type: ignore[arg-type]


def small(job_id: str = "small", minutes: float = 5, hard: int = 20 * MINUTE, **more: object) -> BucketHead:
    took = round(minutes * MINUTE)
    return a_head(job_id, keys=(9.0,), mean=took, cautious=took, hard=hard, **more)  # type: ignore[arg-type]


def carried(made: tuple[Promise, ...], *heads: BucketHead) -> dict[str, object]:
    """The promises of one cycle as the next has them."""
    waiting = {w.member.job_id: w for head in heads for w in in_lane(head)}
    return {"promises": made, "promised": {p.job_id: waiting[p.job_id] for p in made if p.job_id in waiting}}


def test_a_blocked_job_is_promised_the_node_by_the_hard_ends_of_its_runs() -> None:
    made = planned([busy()], [whole()], live=running("n1"), now=MINUTE)

    [promise] = made.promises
    assert (promise.job_id, promise.node_id, promise.since) == ("whole", "n1", MINUTE)
    assert (promise.by, promise.limit) == (HARD, HARD + SLACK)


def test_the_promise_is_for_the_node_where_the_job_should_start_first() -> None:
    live = running("n1", soft=50 * MINUTE) | running("n2", soft=5 * MINUTE)

    [promise] = planned([busy("n1"), busy("n2")], [whole()], live=live).promises

    assert promise.node_id == "n2"


def test_each_node_is_promised_once_and_only_so_many_jobs_get_one() -> None:
    nodes = [busy(f"n{n}") for n in range(3)]
    heads = [a_head(*"abcdef", of=vector(8))]

    by_node = planned(nodes, heads, live=running("n0", "n1", "n2")).promises
    by_rule = planned(nodes, heads, live=running("n0", "n1", "n2"), rules=Rules(reservations=2)).promises

    assert sorted(p.node_id for p in by_node) == ["n0", "n1", "n2"]
    assert sorted(p.job_id for p in by_rule) == ["a", "b"]


def test_a_job_that_is_gone_before_the_owner_should_start_may_fill_the_gap() -> None:
    made = planned([busy()], [whole(), small()], live=running("n1"))

    assert where(made) == {"small": "n1"}


def test_one_that_would_put_the_owner_off_may_not() -> None:
    late = small(minutes=15)

    made = planned([busy()], [whole(), late], live=running("n1"))

    assert where(made) == {}
    assert made.withheld is not None
    assert made.withheld[late.bucket_id].job_id == "whole"


def test_one_that_might_outlive_the_limit_may_not_however_short_it_should_be() -> None:
    endless = small(minutes=1, hard=HARD + SLACK + MINUTE)

    assert where(planned([busy()], [whole(), endless], live=running("n1"))) == {}


def test_one_that_fits_beside_the_owner_may_stay_for_ever() -> None:
    node = a_node(capacity=vector(16, 64), held=(an_allocation("run-n1", vector(15)),))
    beside = small(minutes=1_000, hard=10_000 * MINUTE)
    large = a_head("large", of=vector(15))

    made = planned([node], [large, beside], live={("run-n1", 1): a_run("run-n1", 10 * MINUTE)})

    assert where(made) == {"small": "n1"}
    assert [p.job_id for p in made.promises] == ["large"]


def test_one_that_can_be_preempted_may_fill_the_gap_while_preemption_is_on() -> None:
    removable = small(minutes=1, hard=10 * HARD, preemptible=True)

    assert where(planned([busy()], [whole(), removable], live=running("n1"))) == {}
    on = planned([busy()], [whole(), removable], live=running("n1"), rules=Rules(preemption=True))
    assert where(on) == {"small": "n1"}


def test_a_promise_holds_from_the_first_candidate_of_the_next_cycle_on() -> None:
    """Also against a job that is earlier in the order, and with the place that the first cycle gave."""
    first = planned([busy()], [whole()], live=running("n1"))
    earlier = small("earlier", minutes=15)
    earlier = replace(earlier, members=tuple(replace(m, key=-1.0) for m in earlier.members))

    made = planned([busy()], [whole(), earlier], live=running("n1"), now=MINUTE, **carried(first.promises, whole()))

    assert where(made) == {}
    assert made.promises == first.promises


def test_a_strictly_higher_class_may_break_it_and_that_is_told() -> None:
    first = planned([busy()], [whole()], live=running("n1"))
    urgent = small("urgent", minutes=1_000, hard=10 * HARD, priority=Priority.URGENT)
    same = carried(first.promises, whole())

    made = planned([busy()], [whole(), urgent], live=running("n1"), **same)

    assert where(made) == {"urgent": "n1"}
    assert [(r.promise.job_id, r.cause) for r in made.revoked] == [("whole", "higher_class")]
    assert [p.job_id for p in made.promises] == ["whole"]
    assert made.promises[0].by > first.promises[0].by


def test_the_first_of_the_overdue_is_promised_its_place_above_all_classes_and_on_top() -> None:
    rules = Rules(reservations=1)
    overdue = whole("overdue", priority=Priority.LOW)
    nodes = [busy("n1"), busy("n2")]
    urgent = small("urgent", minutes=1_000, hard=10 * HARD, priority=Priority.URGENT)
    live = running("n1", "n2")

    made = planned(nodes, [whole(), overdue, urgent], live=live, lane=in_lane(overdue), credit=-1, rules=rules)

    assert {p.job_id: p.rank for p in made.promises} == {"overdue": OVERDUE_RANK, "whole": 2}
    assert next(p.node_id for p in made.promises if p.job_id == "overdue") == "n1"
    assert where(made) == {"urgent": "n2"}


def test_the_owner_starts_and_the_promise_is_kept() -> None:
    first = planned([busy()], [whole()], live=running("n1"))

    made = planned([a_node()], [whole()], now=20 * MINUTE, **carried(first.promises, whole()))

    assert where(made) == {"whole": "n1"}
    assert made.promises == ()
    assert made.revoked == ()


@pytest.mark.parametrize(
    ("nodes", "cause"),
    [
        ([], "node_lost"),
        ([a_node(state=NodeState.DRAINING)], "node_drained"),
        ([a_node(capacity=vector(4))], "node_lost"),
        ([busy()], "held_up"),
    ],
)
def test_a_promise_that_cannot_be_kept_says_why(nodes: list[Node], cause: str) -> None:
    first = planned([busy()], [whole()], live=running("n1"))
    frozen = {("run-n1", 1): a_run("run-n1", 10 * MINUTE, 10 * HARD)}

    made = planned(nodes, [whole()], live=frozen, **carried(first.promises, whole()))

    assert [r.cause for r in made.revoked] == [cause]


def test_a_promise_ends_with_the_wait_of_its_job() -> None:
    first = planned([busy()], [whole()], live=running("n1"))

    made = planned([busy()], [], live=running("n1"), promises=first.promises, promised={})

    assert made.promises == ()
    assert made.revoked == ()


def test_a_slot_is_kept_for_the_owner() -> None:
    """Two slots, one run that must end before the limit: a third job may not take what the owner will need."""
    long = small(minutes=1, hard=10 * HARD)
    spare = [busy("n1"), a_node("n2", capacity=vector(2, 8))]
    two = a_head("x", "y", keys=(9.0, 9.5), hard=10 * HARD)

    assert where(planned(spare, [whole(), long], live=running("n1"), slot_limit=1)) == {}
    assert where(planned(spare, [whole(), long], live=running("n1"), slot_limit=2)) == {"small": "n2"}
    assert sorted(where(planned(spare, [whole(), two], live=running("n1"), slot_limit=2))) == ["x"]
    assert sorted(where(planned(spare, [whole(), two], live=running("n1"), slot_limit=3))) == ["x", "y"]


def test_a_soft_end_that_has_passed_is_not_believed_again() -> None:
    """The run should have ended; half of what it took already is added, so the gap is too short now."""
    made = planned(
        [busy()], [whole(), small(minutes=20, hard=30 * MINUTE)], live=running("n1"), now=40 * MINUTE - SECOND
    )

    assert where(made) == {}
    assert where(planned([busy()], [whole(), small(minutes=19)], live=running("n1"), now=40 * MINUTE)) == {
        "small": "n1"
    }
