"""What a cycle looks at, as frozen values: nodes, live runs, heads of buckets, the overdue, promises, shares, rules.

A snapshot is made once a cycle and never changed; the planner works on a copy of the free vectors (`pool`). Nodes are
sorted by id and buckets by id, so that equal states give equal snapshots. `now` in µs since 2020, `credit` in
micro-cluster-seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from app.domain.fairness import Held
from app.domain.nodes import Allocation, Node, NodeState, matches
from app.domain.promises import Promise
from app.domain.queueing import Demand, Request, Resolution
from app.domain.records import BucketHead, Member, Waiting
from app.domain.resources import Vector, total
from app.scheduler.fitting import Fitting, places
from app.scheduler.profile import Hold, Live, corrected
from app.scheduler.rules import Rules

RunKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A head's `members` are its first, in order; `lane`: the overdue that wait, by due time and id; `promised`: those
    of the promises' jobs that still wait; `paused`: nothing is to start; `preempted`: when each of the runs that had
    to make way in the last hour was asked to."""

    nodes: tuple[Node, ...]
    heads: tuple[BucketHead, ...]
    rules: Rules = field(default_factory=Rules)
    now: int = 0
    live: Mapping[RunKey, Live] = field(default_factory=dict)
    lane: tuple[Waiting, ...] = ()
    promises: tuple[Promise, ...] = ()
    promised: Mapping[str, Waiting] = field(default_factory=dict)
    credit: int = 0
    history: Mapping[str, Held] = field(default_factory=dict)
    paused: bool = False
    preempted: tuple[int, ...] = ()

    @property
    def ready(self) -> tuple[Node, ...]:
        """Nodes that take work."""
        return tuple(n for n in self.nodes if n.state is NodeState.READY)

    @property
    def capacity(self) -> Vector:
        """Of all ready nodes."""
        return total([n.capacity for n in self.ready])

    @property
    def slots_used(self) -> int:
        return sum(len(n.allocations) for n in self.nodes)

    @property
    def waiting(self) -> int:
        return sum(h.count for h in self.heads)

    def held_by_tenant(self) -> list[tuple[str, Vector]]:
        """Tenant and vector of every allocation whose run is known."""
        return [
            (live.tenant, a.vector)
            for n in self.nodes
            for a in n.allocations
            if (live := self.live.get((a.job_id, a.run_no))) is not None
        ]

    def holds_on(self, node: Node) -> list[Hold]:
        """What runs hold of a node, with their ends as they are to be believed now."""
        return [self._hold(a) for a in node.allocations]

    def _hold(self, allocation: Allocation) -> Hold:
        live = self.live.get((allocation.job_id, allocation.run_no))
        soft, hard = corrected(live, self.now) if live else (self.now + UNKNOWN_SOFT, self.now + UNKNOWN_HARD)
        return Hold(allocation.vector, soft, hard)


UNKNOWN_SOFT, UNKNOWN_HARD = 60_000_000, 3_640_000_000
"""µs until an allocation ends of whose run nothing is known yet."""


def take_snapshot(
    nodes: Iterable[Node], heads: Iterable[BucketHead], rules: Rules, store_now: datetime, now: int
) -> Snapshot:
    """The snapshot; `store_now` is the time on the store's clock, by which leases are judged."""
    seen = tuple(sorted((as_leased(n, store_now) for n in nodes), key=lambda n: n.id))
    return Snapshot(seen, tuple(sorted(heads, key=lambda h: h.bucket_id)), rules, now)


def as_leased(node: Node, store_now: datetime) -> Node:
    """The node as LOST when nobody holds its lease: its worker is gone, so it takes no work whatever its state says."""
    alive = node.lease_until is not None and node.lease_until > store_now
    return node if alive or node.state is NodeState.LOST else replace(node, state=NodeState.LOST)


def with_members(
    snapshot: Snapshot, members: Mapping[str, Sequence[Member]], set_aside: frozenset[str] = frozenset()
) -> Snapshot:
    """The snapshot with further members of its buckets, less the jobs and buckets that are set aside."""
    heads = []
    for head in snapshot.heads:
        if head.bucket_id in set_aside:
            continue
        known = members.get(head.bucket_id) or head.members
        kept = tuple(m for m in known if m.job_id not in set_aside) if set_aside else tuple(known)
        heads.append(head if kept == head.members else replace(head, members=kept))
    lane = tuple(w for w in snapshot.lane if w.member.job_id not in set_aside and w.bucket_id not in set_aside)
    return replace(snapshot, heads=tuple(heads), lane=lane)


MIXED_MEMBERS = 64
"""Members of a mixed bucket that are examined in a cycle."""


def members_wanted(snapshot: Snapshot, aside: int = 0) -> dict[str, int]:
    """How many members of each bucket the planner could place or promise: bounded by room, slots and its size.

    One more is of no use, by the lemma that what did not fit once in a cycle never fits later in it. `aside` more are
    read for those that are set aside. Buckets whose heads suffice are left out.
    """
    rules = snapshot.rules
    slots = rules.placements if not rules.slots else min(rules.placements, rules.slots - snapshot.slots_used)
    ready = snapshot.ready
    fitting = Fitting([node.free for node in ready])
    room: dict[tuple[Request, int], int] = {}
    wanted = {}
    for head in snapshot.heads:
        if head.count <= len(head.members):
            continue
        demand, most = head.members[0].demand, min(slots, head.count)
        key = demand.request, most
        if key not in room:
            room[key] = _room_for(demand, (ready[i] for i in places(fitting.holding(demand.vector))), most)
        count = MIXED_MEMBERS if head.bucket.resolution is Resolution.MIXED else room[key] + rules.reservations
        count = min(count + aside, head.count)
        if count > len(head.members):
            wanted[head.bucket_id] = count
    return wanted


def after_placing(snapshot: Snapshot, placed: Mapping[str, Sequence[tuple[str, Allocation]]]) -> Snapshot:
    """The snapshot once these hold their places: per node id the bucket and the allocation of each."""
    gone = Counter(bucket for pairs in placed.values() for bucket, _ in pairs)
    ids = {allocation.job_id for pairs in placed.values() for _, allocation in pairs}
    nodes = tuple(_holding(n, [a for _, a in placed[n.id]]) if n.id in placed else n for n in snapshot.nodes)
    heads = tuple(_shortened(h, gone[h.bucket_id], ids) if h.bucket_id in gone else h for h in snapshot.heads)
    lane = tuple(w for w in snapshot.lane if w.member.job_id not in ids)
    return replace(snapshot, nodes=nodes, heads=tuple(h for h in heads if h.count > 0), lane=lane)


def _holding(node: Node, more: Sequence[Allocation]) -> Node:
    return replace(node, free=node.free - total([a.vector for a in more]), allocations=(*node.allocations, *more))


def _shortened(head: BucketHead, by: int, ids: set[str]) -> BucketHead:
    return replace(head, count=head.count - by, members=tuple(m for m in head.members if m.job_id not in ids))


def _room_for(demand: Demand, fitting: Iterable[Node], most: int) -> int:
    selector = dict(demand.selector)
    found = 0
    for node in fitting:
        if found >= most:
            break
        if matches(node.labels, selector):
            found += _places_on(demand, node)
    return max(0, min(found, most))


def _places_on(demand: Demand, node: Node) -> int:
    if demand.alone:
        return int(not node.allocations and demand.vector.fits(node.capacity))
    return demand.vector.times_in(node.free)
