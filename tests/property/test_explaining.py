"""Property 18: every waiting job has a reason that is true, and a change that is named to help, once made, helps on the
same snapshot."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.nodes import Node, matches
from app.domain.queueing import Bucket
from app.domain.records import Member, Waiting
from app.domain.resources import Vector
from app.domain.what_if import NodeKind, Outcome
from app.scheduler.counterfactuals import LEAST_SECONDS, counterfactuals, kind_like
from app.scheduler.outlook import placed
from app.scheduler.planner import plan
from app.scheduler.reduction import is_small
from app.scheduler.scene import set_out
from app.scheduler.snapshot import Snapshot
from app.scheduler.what_if import what_if
from app.scheduler.why import why
from tests.property.test_planner import SITUATION, whole_snapshot

KINDS = {"big": NodeKind(Vector(16_000, 65_536, 8, 100), {"zone": "a"})}
Jobs = dict[Bucket, list[Member]]


def chosen(jobs: Jobs, number: int) -> Waiting:
    everybody = [Waiting(b.id, b, m) for b, ms in jobs.items() for m in ms]
    assume(everybody)
    return everybody[number % len(everybody)]


def is_true(code: str, after: Snapshot, waiting: Waiting) -> bool:
    """Whether the reason holds, told from the snapshot alone."""
    demand = waiting.member.demand
    matching = [n for n in after.ready if matches(n.labels, dict(demand.selector))]
    able = [n for n in matching if demand.vector.fits(n.capacity)]
    room = [n for n in able if demand.vector.fits(n.free) and not (demand.alone and n.allocations)]
    truths = {
        "no_workers": not after.ready,
        "node_selector": bool(after.ready) and not matching,
        "unsatisfiable": bool(matching) and not able,
        "concurrency_limit": 0 < after.rules.slots <= after.slots_used,
        "resources": not room,
        "behind_reservation": bool(room) and any(p.job_id != waiting.member.job_id for p in after.promises),
        "fair_share": len({h.bucket.tenant for h in after.heads}) > 1,
    }
    return truths[code]


@settings(max_examples=60, deadline=None)
@given(*SITUATION, st.integers(0, 99))
def test_every_waiting_job_has_a_reason_that_is_true(found: list[Node], jobs: Jobs, limit: int, number: int) -> None:
    waiting, snapshot = chosen(jobs, number), whole_snapshot(found, jobs, limit)
    whole = set_out(snapshot, [waiting]).snapshot

    reasons, ahead = why(snapshot, waiting)

    assert ahead is not None and 0 <= ahead < snapshot.waiting
    after = placed(whole, plan(whole))
    starts = all(h.bucket_id != waiting.member.job_id for h in after.heads)
    assert not (starts and reasons)
    assert [r.code for r in reasons if not is_true(r.code, after, waiting)] == []
    if not starts and not reasons:
        assert after.promises and not is_true("resources", after, waiting), "it waits, and nobody says why"


@settings(max_examples=40, deadline=None)
@given(*SITUATION, st.integers(0, 99), st.booleans())
def test_a_change_that_is_named_helps_once_it_is_made(
    found: list[Node], jobs: Jobs, limit: int, number: int, typed: bool
) -> None:
    waiting, snapshot = chosen(jobs, number), whole_snapshot(found, jobs, limit)
    assume(is_small(snapshot))
    kinds = KINDS if typed else kind_like(snapshot, waiting.member.demand)

    for named in counterfactuals(snapshot, waiting, KINDS if typed else {}):
        done = what_if(snapshot, [named.supposed], [waiting], kinds)
        [difference] = [d for d in done.differences if d.job_id == waiting.member.job_id]
        before, after = difference.before, difference.after
        assert after == Outcome(named.starts_at, named.position)
        assert before is not None and after is not None and after.starts_at is not None
        gain = None if before.starts_at is None else (before.starts_at - after.starts_at).total_seconds()
        assert gain is None or gain >= LEAST_SECONDS
