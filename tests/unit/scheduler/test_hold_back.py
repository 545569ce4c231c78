"""When a lapsed lease says something, and of which nodes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.nodes import NodeState
from app.domain.ports import Lease, StorePrimary, node_lease
from app.scheduler.hold_back import (
    NEW_LEADER,
    NEW_PRIMARY,
    STORE_AWAY,
    STORE_SILENT,
    Look,
    Watch,
    lost_nodes,
    node_of,
)
from app.scheduler.repairs import Held
from tests.unit.scheduler.builders import NOW, a_node

LEASE, BEAT, SECOND = timedelta(seconds=60), timedelta(seconds=10), timedelta(seconds=1)
FIRST = Look(NOW, StorePrimary("a:27017", "1/1"), 3)


def after(*looks: Look, watch: Watch | None = None) -> Watch:
    seen = watch or Watch()
    for look in looks:
        seen = seen.seen(look, LEASE, BEAT)
    return seen


def at(seconds: float) -> Look:
    return replace(FIRST, at=NOW + timedelta(seconds=seconds))


def calm() -> Watch:
    """Looks without a break for longer than a lease."""
    watch = after(*(at(seconds) for seconds in range(62)))
    assert watch.held is None
    return watch


def test_a_new_leader_holds_back_for_one_lease() -> None:
    watch = after(at(0))
    assert watch.held is not None
    assert (watch.held.cause, watch.held.until) == (NEW_LEADER, NOW + LEASE)

    watch = after(*(at(seconds) for seconds in range(1, 60)), watch=watch)
    assert watch.held is not None
    assert after(at(60), watch=watch).held is None


@pytest.mark.parametrize(
    ("next_look", "cause"),
    [
        (replace(at(62), term=4), NEW_LEADER),
        (replace(at(62), term=None), NEW_LEADER),
        (replace(at(62), primary=StorePrimary("b:27017", "1/2")), NEW_PRIMARY),
        (replace(at(62), primary=StorePrimary("a:27017", "1/2")), NEW_PRIMARY),
        (at(61 + 11), STORE_SILENT),
        (at(61 - 11), STORE_SILENT),
    ],
)
def test_whatever_may_have_kept_nodes_from_renewing_holds_back_anew(next_look: Look, cause: str) -> None:
    held = after(next_look, watch=calm()).held

    assert held is not None
    assert (held.cause, held.until) == (cause, next_look.at + LEASE)


def test_a_look_within_a_beat_of_the_last_changes_nothing() -> None:
    assert after(at(61 + 10), watch=calm()).held is None


def test_a_failed_look_holds_back_from_the_first_that_succeeds() -> None:
    held = after(at(63), watch=calm().interrupted(STORE_AWAY)).held

    assert held is not None
    assert (held.cause, held.until) == (STORE_AWAY, at(63).at + LEASE)


def test_an_interruption_while_held_back_begins_the_time_anew() -> None:
    held = after(at(0), at(1), at(30), watch=Watch()).held

    assert held is not None
    assert held.until == at(30).at + LEASE


def lease(name: str) -> Lease:
    return Lease(name, "somebody", 4, NOW)


def test_nodes_are_given_up_that_do_not_say_that_they_are_lost_or_still_have_runs() -> None:
    nodes = [
        a_node("ready"),
        a_node("draining", state=NodeState.DRAINING),
        a_node("settled", state=NodeState.LOST),
        a_node("left", state=NodeState.LOST),
        a_node("alive"),
    ]
    names = ["ready", "draining", "settled", "left", "forgotten", "never"]
    runs = [
        Held("alive", "job_a", 1),
        Held("left", "job_c", 2),
        Held("left", "job_b", 1),
        Held("forgotten", "job_d", 1),
    ]

    lapsed = [*(lease(node_lease(name)) for name in names), lease("scheduler")]
    found = lost_nodes(lapsed, {n.id: n for n in nodes}, runs)

    assert [(n.node_id, [r.job_id for r in n.runs]) for n in found] == [
        ("ready", []),
        ("draining", []),
        ("left", ["job_b", "job_c"]),
        ("forgotten", ["job_d"]),
    ]


def test_a_lease_knows_its_node() -> None:
    assert node_of(lease(node_lease("n1"))) == "n1"
    assert node_of(lease("scheduler")) is None
