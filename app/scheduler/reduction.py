"""A large snapshot as a small one in which one waiting job fares about alike, so that changes of it are tried fast.

Of the nodes some are kept: those where the job has room first, and others evenly. Of what goes before the job as large
a share is kept as of the nodes that could hold it, as lumps of several jobs one after another. Bands are pinned as they
are on the whole, and slots and quotas lack what was left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.fairness import Shares
from app.domain.nodes import Allocation, Node, matches
from app.domain.priority import RANK
from app.domain.queueing import Bucket, Demand
from app.domain.records import BucketHead, Member, Waiting
from app.domain.resources import Vector, total
from app.scheduler.rules import Quota, Rules
from app.scheduler.scene import Scene, set_out
from app.scheduler.snapshot import Snapshot

MOST_NODES, FIRST_NODES = 10, 4
"""Nodes that are kept, and how many of them are those where the job has room first."""
MOST_LUMPS = 20
SMALL = 2_500
"""Looks that a forecast takes of a snapshot which is not worth being made smaller."""


def is_small(snapshot: Snapshot) -> bool:
    """Whether plan and forecast take a few milliseconds for it as it is."""
    return (snapshot.slots_used + min(snapshot.waiting, 4_000) + len(snapshot.nodes)) * len(snapshot.heads) <= SMALL


def reduced(snapshot: Snapshot, waiting: Waiting, shares: Shares) -> Scene:
    """The small scene with that job set out. `shares`: those of the whole snapshot."""
    demand = waiting.member.demand
    nodes = _sample(snapshot, demand)
    able = sum(could_hold(n, demand) for n in snapshot.ready)
    kept = sum(could_hold(n, demand) for n in nodes)
    before = _rivals(_before(snapshot, waiting, shares), nodes)
    heads = _lumps(before, kept / able if able else 1.0)
    return _scene(snapshot, waiting, shares, nodes, heads)


def room_reaches(snapshot: Snapshot, waiting: Waiting, shares: Shares, node: Node) -> bool:
    """Whether room that comes free on that node, as it then is, reaches the job at once: those before it take of it
    what they can, one after another."""
    demand, rules = waiting.member.demand, snapshot.rules
    slots = rules.slots - snapshot.slots_used + len(_allocated(snapshot, node.id)) - len(node.allocations)
    left = slots if rules.slots else snapshot.waiting + 1
    free = node.free
    for before in _rivals(_before(snapshot, waiting, shares), [node]):
        asked = before.head.members[0].demand
        number = int(not node.allocations) if asked.alone else min(before.count, left, asked.vector.times_in(free))
        taken = node.free if asked.alone and number else asked.vector
        free, left = free - total([taken] * number), left - number
    return left > 0 and demand.vector.fits(free) and not (demand.alone and free != node.capacity)


def _allocated(snapshot: Snapshot, node_id: str) -> tuple[Allocation, ...]:
    return next((n.allocations for n in snapshot.nodes if n.id == node_id), ())


@dataclass(frozen=True, slots=True)
class Before:
    """Members of a bucket that stand before the job: how many, and where the first of them does."""

    rank: int
    band: int
    key: float
    head: BucketHead
    count: int


def _scene(
    snapshot: Snapshot, waiting: Waiting, shares: Shares, nodes: Sequence[Node], heads: Sequence[BucketHead]
) -> Scene:
    runs = {(a.job_id, a.run_no) for n in nodes for a in n.allocations}
    kept = {n.id for n in nodes}
    small = replace(
        snapshot,
        nodes=tuple(sorted(nodes, key=lambda n: n.id)),
        heads=tuple(heads),
        live={run: snapshot.live[run] for run in runs if run in snapshot.live},
        lane=(),
        promises=tuple(p for p in snapshot.promises if p.node_id in kept),
        history={},
    )
    small = replace(small, rules=_rules(snapshot, small))
    pin = _band(waiting.bucket, shares)
    return set_out(small, [replace(waiting, bucket=replace(waiting.bucket, pin=pin))], shares)


def _band(bucket: Bucket, shares: Shares) -> int:
    return shares.band(bucket.tenant) if bucket.pin is None else bucket.pin


def _before(snapshot: Snapshot, waiting: Waiting, shares: Shares) -> list[Before]:
    """What stands before the job, in order."""
    rank, band = RANK[waiting.bucket.priority], _band(waiting.bucket, shares)
    own = rank, band, waiting.member.key, waiting.member.job_id
    found = []
    for head in snapshot.heads:
        there = RANK[head.bucket.priority], _band(head.bucket, shares)
        if there > (rank, band) or not head.members:
            continue
        count = head.count if there < (rank, band) else _count_before(head, own, snapshot.now)
        if count:
            found.append(Before(*there, head.members[0].key, head, count))
    return sorted(found, key=lambda b: (b.rank, b.band, b.key, b.head.bucket_id))


def _count_before(head: BucketHead, own: tuple[int, int, float, str], now: int) -> int:
    known = sum((m.key, m.job_id) < own[2:] for m in head.members)
    unread, last = head.count - len(head.members), head.members[-1].key
    if known < len(head.members) or not unread:
        return known
    return known + int(unread * min(1.0, (own[2] - last) / max(1.0, now - last)))


def _rivals(before: Sequence[Before], nodes: Sequence[Node]) -> list[Before]:
    """Those that one of the nodes could hold when empty."""
    kinds = {(n.capacity, tuple(sorted(n.labels.items()))): n for n in nodes}.values()
    return [b for b in before if any(could_hold(n, b.head.members[0].demand) for n in kinds)]


def _lumps(before: Sequence[Before], share: float) -> list[BucketHead]:
    """That share of the jobs as few lumps, evenly out of their order."""
    jobs = sum(b.count for b in before)
    if not jobs:
        return []
    number = min(MOST_LUMPS, math.ceil(jobs * share))
    lumps, passed, at = [], 0, 0
    for n in range(number):
        wanted = (2 * n + 1) * jobs / (2 * number)
        while passed + before[at].count < wanted:
            passed += before[at].count
            at += 1
        lumps.append(_lump(f"before_{n:03}", before[at], max(1.0, jobs * share / number)))
    return lumps


def _lump(name: str, before: Before, jobs: float) -> BucketHead:
    """One waiting job that stands for so many, one after another."""
    first = before.head.members[0]
    demand = first.demand
    mean, cautious, hard = (round(took * jobs) for took in (demand.mean, demand.cautious, demand.hard))
    demand = replace(demand, mean=mean, cautious=cautious, hard=hard)
    return BucketHead(name, replace(before.head.bucket, pin=before.band), 1, (Member(name, first.key, demand),))


def _sample(snapshot: Snapshot, demand: Demand) -> list[Node]:
    """The nodes that are kept: of those that could hold the job, else of all."""
    ready = snapshot.ready
    able = [n for n in ready if could_hold(n, demand)]
    others = [n for n in ready if demand.selector and demand.vector.fits(n.capacity) and n not in able]
    return [*_chosen(able or ready, demand, MOST_NODES), *_chosen(others, demand, FIRST_NODES)]


def _chosen(nodes: Sequence[Node], demand: Demand, most: int) -> list[Node]:
    if len(nodes) <= most:
        return list(nodes)
    ordered = sorted(nodes, key=lambda n: (shortage(demand.vector, n.free, n.capacity), n.id))
    first, rest = ordered[:FIRST_NODES], ordered[FIRST_NODES:]
    more = most - FIRST_NODES
    return first + [rest[n * len(rest) // more] for n in range(more)]


def shortage(vector: Vector, free: Vector, capacity: Vector) -> int:
    """By how much `free` is short, in thousandths of the capacity over all dimensions."""
    if vector.fits(free):
        return 0
    pairs = zip(vector.parts(), free.parts(), capacity.parts(), strict=True)
    return sum(1000 * (need - have) // max(1, whole) for need, have, whole in pairs if need > have)


def could_hold(node: Node, demand: Demand) -> bool:
    """Whether it would fit on the empty node."""
    return demand.vector.fits(node.capacity) and matches(node.labels, dict(demand.selector))


def _rules(snapshot: Snapshot, small: Snapshot) -> Rules:
    """Slots and quotas less what was left out."""
    rules = snapshot.rules
    slots = max(1, rules.slots - snapshot.slots_used + small.slots_used) if rules.slots else 0
    if not rules.quotas:
        return replace(rules, slots=slots)
    whole, rest = snapshot.held_by_tenant(), small.held_by_tenant()
    quotas = {tenant: _less(quota, _of(tenant, whole), _of(tenant, rest)) for tenant, quota in rules.quotas.items()}
    return replace(rules, slots=slots, quotas=quotas)


def _of(tenant: str, held: Sequence[tuple[str, Vector]]) -> list[Vector]:
    return [vector for whose, vector in held if whose == tenant]


def _less(quota: Quota, whole: list[Vector], rest: list[Vector]) -> Quota:
    out = (total(whole) - total(rest)).parts()
    cpu, memory, gpu, storage = (
        None if most is None else most - gone for most, gone in zip(quota.vector, out, strict=True)
    )
    running = None if quota.running is None else quota.running - len(whole) + len(rest)
    return Quota((cpu, memory, gpu, storage), running, quota.waiting)
