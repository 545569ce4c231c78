"""Property 4: what was recorded plans again to the same bytes; and a mutant of the record is noticed."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.canonical import canonical
from app.domain.fairness import Held
from app.domain.nodes import Node
from app.domain.priority import SECOND
from app.domain.promises import Promise
from app.domain.queueing import Bucket
from app.domain.records import Member, Waiting
from app.scheduler.encoding import decode, encode, plan_value, snapshot_from, snapshot_hash, snapshot_value
from app.scheduler.planner import plan
from app.scheduler.rules import Quota, Rules
from app.scheduler.snapshot import Snapshot
from tests.property.test_planner import SITUATION, whole_snapshot

HELD = st.tuples(*[st.floats(0, 1e6, allow_nan=False)] * 4)
NOW = 190_000_000_000_000


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """A snapshot with all that a cycle carries over: lane, promises, credit, quotas, weights, history."""
    found, jobs, limit = (draw(part) for part in SITUATION)
    whole = whole_snapshot(found, jobs, limit)
    waiting = _everybody(jobs)
    promised = draw(st.lists(st.sampled_from(waiting), max_size=3, unique_by=_id)) if waiting and found else []
    overdue = draw(st.lists(st.sampled_from(waiting), max_size=4, unique_by=_id)) if waiting else []
    return replace(
        whole,
        now=draw(st.sampled_from([0, NOW])),
        lane=tuple(overdue),
        promises=tuple(_promise(draw, w, found) for w in promised),
        promised={_id(w): w for w in promised},
        credit=draw(st.integers(-10_000, 10_000_000)),
        history=draw(st.dictionaries(st.sampled_from(["default", "other"]), HELD)),
        rules=replace(_rules(draw), slots=limit),
        preempted=draw(st.sampled_from([(), (0,), (NOW - SECOND, NOW)])),
        paused=draw(st.sampled_from([False, False, False, True])),
    )


def _everybody(jobs: dict[Bucket, list[Member]]) -> list[Waiting]:
    return [Waiting(b.id, b, m) for b, ms in jobs.items() for m in ms]


def _id(waiting: Waiting) -> str:
    return waiting.member.job_id


def _promise(draw: st.DrawFn, waiting: Waiting, nodes: list[Node]) -> Promise:
    by, since = draw(st.integers(0, 9_000)) * SECOND, draw(st.integers(0, 5))
    node = draw(st.sampled_from(nodes))
    return Promise(_id(waiting), node.id, by, by + 600 * SECOND, since, draw(st.integers(0, 3)), waiting.member.demand)


def _rules(draw: st.DrawFn) -> Rules:
    quota = Quota((draw(st.integers(0, 8)) * 1000, None, None, None), draw(st.none() | st.integers(0, 3)))
    return Rules(
        reservations=draw(st.integers(0, 4)),
        ageing=draw(st.floats(0, 0.9)),
        weights=draw(st.dictionaries(st.sampled_from(["default", "other"]), st.floats(0.1, 9))),
        quotas=draw(st.sampled_from([{}, {"other": quota}])),
        preemption=draw(st.booleans()),
    )


@settings(max_examples=80, deadline=None)
@given(snapshots())
def test_what_was_recorded_plans_again_to_the_same_bytes(snapshot: Snapshot) -> None:
    recorded = encode(snapshot)

    again = decode(recorded)
    first, second = plan(snapshot), plan(again)

    assert second == first
    assert canonical(plan_value(second)) == canonical(plan_value(first))
    assert encode(again) == recorded


@settings(max_examples=30, deadline=None)
@given(snapshots(), st.randoms())
def test_the_order_of_the_parts_does_not_change_the_bytes(snapshot: Snapshot, chance: Any) -> None:
    def shuffled(parts: Any) -> tuple[Any, ...]:
        mixed = list(parts)
        chance.shuffle(mixed)
        return tuple(mixed)

    other = replace(
        snapshot,
        nodes=shuffled(snapshot.nodes),
        heads=shuffled(snapshot.heads),
        live=dict(shuffled(snapshot.live.items())),
        history=dict(shuffled(snapshot.history.items())),
    )

    assert encode(other) == encode(snapshot)


HISTORY: Held = (1.0, 0.0, 0.0, 0.0)


@settings(max_examples=50, deadline=None)
@given(snapshots())
def test_every_part_that_the_planner_reads_is_in_the_hash(snapshot: Snapshot) -> None:
    others = [
        replace(snapshot, now=snapshot.now + 1),
        replace(snapshot, credit=snapshot.credit + 1),
        replace(snapshot, preempted=(*snapshot.preempted, 1)),
        replace(snapshot, paused=not snapshot.paused),
        replace(snapshot, history={"third": HISTORY}),
        replace(snapshot, rules=replace(snapshot.rules, slack=7)),
        *([replace(snapshot, nodes=snapshot.nodes[1:])] if snapshot.nodes else []),
        *([replace(snapshot, heads=snapshot.heads[1:])] if snapshot.heads else []),
        *([replace(snapshot, lane=snapshot.lane[1:])] if snapshot.lane else []),
        *([replace(snapshot, promises=snapshot.promises[1:])] if snapshot.promises else []),
    ]

    hashes = [snapshot_hash(each) for each in (snapshot, *others)]

    assert len(set(hashes)) == len(hashes)


def test_no_part_of_a_snapshot_is_forgotten() -> None:
    assert {f.name for f in fields(Snapshot)} == snapshot_value(Snapshot((), ())).keys() - {"format"}


def test_other_formats_are_refused() -> None:
    value = snapshot_value(Snapshot((), ()))
    with pytest.raises(ValueError, match="format 2"):
        snapshot_from(value | {"format": 2})
    with pytest.raises(ValueError, match="not a packed value"):
        decode(b"{}")
