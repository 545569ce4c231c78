"""Invariants of plans over random states."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.nodes import Allocation, Node, NodeState, matches
from app.domain.priority import SECOND, Priority
from app.domain.queueing import Bucket, Demand, duration_class
from app.domain.records import BucketHead, Member
from app.domain.resources import Vector, total
from app.scheduler.planner import Plan, plan
from app.scheduler.profile import Live
from app.scheduler.rules import Rules
from app.scheduler.snapshot import Snapshot, members_wanted, with_members

MINUTE = 60 * SECOND
ZONES = ({}, {"zone": "a"}, {"zone": "b"})


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    made = []
    for n in range(draw(st.integers(0, 5))):
        capacity = Vector(
            draw(st.integers(1, 8)) * 1000, draw(st.integers(1, 16)) * 1024, draw(st.sampled_from([0, 0, 2, 4, 8]))
        )
        cpu = draw(st.integers(0, capacity.cpu_millicores // 1000)) * 1000
        taken = tuple(sorted(draw(st.sets(st.integers(0, 7), max_size=capacity.gpu)) & set(range(capacity.gpu))))
        held = (Allocation(f"held{n}", 1, Vector(cpu, 0, len(taken)), taken),) if cpu or taken else ()
        state = draw(st.sampled_from([NodeState.READY, NodeState.READY, NodeState.DRAINING]))
        free = capacity - total([a.vector for a in held])
        made.append(Node(f"n{n}", state, 1, draw(st.sampled_from(ZONES)), capacity, free, False, held))
    return made


TENANTS = ("default", "default", "other")
TIMES = st.sampled_from([1, 5, 30, 120])


@st.composite
def waiting(draw: st.DrawFn) -> dict[Bucket, list[Member]]:
    """All waiting jobs by bucket, in order; some are suspects. No request is without CPU."""
    buckets: dict[Bucket, list[Member]] = {}
    for n in range(draw(st.integers(0, 25))):
        vector = Vector(
            draw(st.integers(1, 4)) * 1000, draw(st.integers(0, 8)) * 1024, draw(st.sampled_from([0, 0, 1, 2, 3]))
        )
        alone = draw(st.sampled_from([False, False, False, True]))
        selector = tuple(sorted(draw(st.sampled_from(ZONES)).items()))
        priority, minutes, key = draw(st.sampled_from(list(Priority))), draw(TIMES), float(draw(st.integers(0, 9)))
        took = minutes * MINUTE
        demand = Demand(vector, priority, key, took, took, 2 * took, selector, alone=alone)
        tenant = draw(st.sampled_from(TENANTS))
        bucket = Bucket(priority, tenant, vector, selector, alone, duration=duration_class(took))
        buckets.setdefault(bucket, []).append(Member(f"j{n:02}", key, demand))
    return {b: sorted(ms, key=lambda m: (m.key, m.job_id)) for b, ms in buckets.items()}


def whole_snapshot(found: list[Node], jobs: dict[Bucket, list[Member]], limit: int) -> Snapshot:
    heads = tuple(BucketHead(b.id, b, len(ms), tuple(ms)) for b, ms in jobs.items())
    live = {
        (a.job_id, a.run_no): Live(a.job_id, a.run_no, "other", Priority.LOW, 0, (n + 1) * 7 * MINUTE, 90 * MINUTE)
        for n, node in enumerate(found)
        for a in node.allocations
    }
    return Snapshot(tuple(found), heads, Rules(slots=limit), live=live)


def made(snapshot: Snapshot, most: int = 500) -> Plan:
    return plan(replace(snapshot, rules=replace(snapshot.rules, placements=most)))


SITUATION = (nodes(), waiting(), st.integers(0, 6))


@settings(max_examples=300, deadline=None)
@given(*SITUATION)
def test_no_node_holds_more_than_it_has(found: list[Node], jobs: dict[Bucket, list[Member]], limit: int) -> None:
    snapshot = whole_snapshot(found, jobs, limit)
    placements = made(snapshot).placements

    by_id = {n.id: n for n in found}
    assert len({p.job_id for p in placements}) == len(placements)
    for node in found:
        mine = [p for p in placements if p.node_id == node.id]
        assert total([p.vector for p in mine]).fits(node.free)
        gpus = [i for p in mine for i in p.gpu_indices]
        assert len(gpus) == len(set(gpus))
        assert set(gpus) <= set(node.free_gpus)
    assert all(len(p.gpu_indices) == p.vector.gpu for p in placements)
    assert all(by_id[p.node_id].state is NodeState.READY for p in placements)
    if limit:
        assert snapshot.slots_used + len(placements) <= max(limit, snapshot.slots_used)


@settings(max_examples=300, deadline=None)
@given(*SITUATION)
def test_a_suspect_shares_its_node_with_nobody(found: list[Node], jobs: dict[Bucket, list[Member]], limit: int) -> None:
    placements = made(whole_snapshot(found, jobs, limit)).placements

    by_id = {n.id: n for n in found}
    asked = {m.job_id: b for b, ms in jobs.items() for m in ms}
    for p in placements:
        bucket, node = asked[p.job_id], by_id[p.node_id]
        assert p.alone is bucket.alone
        assert len(p.job_gpus) == bucket.vector.gpu
        assert set(p.job_gpus) <= set(p.gpu_indices)
        if p.alone:
            assert not node.allocations
            assert [other.job_id for other in placements if other.node_id == node.id] == [p.job_id]
            assert (p.vector, p.gpu_indices) == (node.capacity, tuple(range(node.capacity.gpu)))
        else:
            assert (p.vector, p.gpu_indices) == (bucket.vector, p.job_gpus)


def _with(node: Node, placement: object) -> Node:
    p = placement
    held = Allocation(p.job_id, 1, p.vector, p.gpu_indices)  # type: ignore[attr-defined]
    return replace(node, free=node.free - held.vector, allocations=(*node.allocations, held))


@settings(max_examples=300, deadline=None)
@given(*SITUATION)
def test_heads_alone_give_the_plan_of_a_full_scan(
    found: list[Node], jobs: dict[Bucket, list[Member]], limit: int
) -> None:
    """Every waiting job as a bucket of its own is looked at, whatever became of those like it."""
    whole = whole_snapshot(found, jobs, limit)
    only_heads = replace(whole, heads=tuple(replace(h, members=h.members[:1]) for h in whole.heads))
    wanted = members_wanted(only_heads)
    read = with_members(only_heads, {b.id: ms[: wanted[b.id]] for b, ms in jobs.items() if b.id in wanted})
    each = tuple(BucketHead(m.job_id, b, 1, (m,)) for b, ms in jobs.items() for m in ms)

    by_heads, by_scan = made(read), made(replace(whole, heads=each))

    def where(found: Plan) -> list[tuple[str, str]]:
        return [(p.job_id, p.node_id) for p in found.placements]

    assert where(by_heads) == where(by_scan)
    assert by_heads.promises == by_scan.promises


@settings(max_examples=200, deadline=None)
@given(*SITUATION, st.randoms())
def test_the_order_of_the_input_changes_nothing(
    found: list[Node], jobs: dict[Bucket, list[Member]], limit: int, chance: object
) -> None:
    shuffled = list(jobs.items())
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    plain, mixed = made(whole_snapshot(found, jobs, limit)), made(whole_snapshot(found, dict(shuffled), limit))

    assert (plain.placements, plain.promises, plain.credit) == (mixed.placements, mixed.promises, mixed.credit)


@settings(max_examples=100, deadline=None)
@given(*SITUATION)
def test_other_names_of_tenants_give_the_same_plan(
    found: list[Node], jobs: dict[Bucket, list[Member]], limit: int
) -> None:
    renamed = {replace(b, tenant=b.tenant[::-1]): ms for b, ms in jobs.items()}
    whole, other = whole_snapshot(found, jobs, limit), whole_snapshot(found, renamed, limit)
    other = replace(other, live={k: replace(v, tenant=v.tenant[::-1]) for k, v in other.live.items()})

    assert [p.job_id for p in made(whole).placements] == [p.job_id for p in made(other).placements]


@settings(max_examples=100, deadline=None)
@given(*SITUATION)
def test_with_one_tenant_there_is_no_fairness(found: list[Node], jobs: dict[Bucket, list[Member]], limit: int) -> None:
    alone: dict[Bucket, list[Member]] = {}
    for bucket, members in jobs.items():
        alone.setdefault(replace(bucket, tenant="other"), []).extend(members)
    alone = {b: sorted(ms, key=lambda m: (m.key, m.job_id)) for b, ms in alone.items()}
    whole = whole_snapshot(found, alone, limit)

    assert made(whole) == made(replace(whole, history={"other": (1e6, 1e6, 1e6, 1e6)}))


@settings(max_examples=300, deadline=None)
@given(*SITUATION)
def test_after_a_plan_nothing_that_waits_could_start_without_breaking_a_promise(
    found: list[Node], jobs: dict[Bucket, list[Member]], limit: int
) -> None:
    snapshot = whole_snapshot(found, jobs, limit)
    first = made(snapshot)
    placed = {p.job_id for p in first.placements}
    nodes_after = snapshot.nodes
    for p in first.placements:
        nodes_after = tuple(_with(n, p) if n.id == p.node_id else n for n in nodes_after)
    left = {b: [m for m in ms if m.job_id not in placed] for b, ms in jobs.items()}
    after = whole_snapshot(list(nodes_after), {b: ms for b, ms in left.items() if ms}, limit)
    slots_left = not limit or after.slots_used < limit
    promised = {p.node_id for p in first.promises}

    for bucket in (h.bucket for h in after.heads):
        room = [n for n in after.ready if matches(n.labels, dict(bucket.selector)) and bucket.vector.fits(n.free)]
        if bucket.alone:
            room = [n for n in room if not n.allocations]
        kept_for_slots = limit and after.slots_used + len(first.promises) >= limit
        assert not ({n.id for n in room} - promised and slots_left and not kept_for_slots)


@settings(max_examples=100, deadline=None)
@given(*SITUATION, st.integers(1, 5))
def test_a_capped_plan_is_the_beginning_of_the_whole_one(
    found: list[Node], jobs: dict[Bucket, list[Member]], limit: int, most: int
) -> None:
    snapshot = whole_snapshot(found, jobs, limit)
    whole, capped = made(snapshot).placements, made(snapshot, most)

    assert capped.placements == whole[:most]
    assert capped.capped or len(whole) <= most
