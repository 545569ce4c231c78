"""What a cycle looks at: the nodes, the heads of the buckets, and the limit on slots, as frozen values.

A snapshot is made once a cycle and never changed; the planner works on a copy of the free vectors (`pool`). Nodes are
sorted by id and buckets by id, so that equal states give equal snapshots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.nodes import Allocation, Node, NodeState, matches
from app.domain.queueing import Bucket, Request
from app.domain.records import BucketHead, Member
from app.domain.resources import total


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`slot_limit`: most allocations over all nodes, 0 for no limit. A head's `members` are its first, in order."""

    nodes: tuple[Node, ...]
    heads: tuple[BucketHead, ...]
    slot_limit: int = 0

    @property
    def ready(self) -> tuple[Node, ...]:
        """Nodes that take work."""
        return tuple(n for n in self.nodes if n.state is NodeState.READY)

    @property
    def slots_used(self) -> int:
        return sum(len(n.allocations) for n in self.nodes)

    @property
    def waiting(self) -> int:
        return sum(h.count for h in self.heads)


def take_snapshot(nodes: Iterable[Node], heads: Iterable[BucketHead], slot_limit: int, store_now: datetime) -> Snapshot:
    """The snapshot; `store_now` is the time on the store's clock, by which leases are judged."""
    seen = tuple(sorted((as_leased(n, store_now) for n in nodes), key=lambda n: n.id))
    return Snapshot(seen, tuple(sorted(heads, key=lambda h: h.bucket_id)), slot_limit)


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
        heads.append(replace(head, members=tuple(m for m in known if m.job_id not in set_aside)))
    return replace(snapshot, heads=tuple(heads))


def members_wanted(snapshot: Snapshot, most: int, aside: int = 0) -> dict[str, int]:
    """How many members of each bucket the planner could place: bounded by room, slots and `most`.

    One more is of no use, by the lemma that what did not fit once in a cycle never fits later in it. `aside` more are
    read for those that are set aside. Buckets whose heads suffice are left out.
    """
    slots = most if not snapshot.slot_limit else min(most, snapshot.slot_limit - snapshot.slots_used)
    ready = snapshot.ready
    room: dict[Request, int] = {}
    wanted = {}
    for head in snapshot.heads:
        key = head.bucket.request
        if key not in room:
            room[key] = _room_for(head.bucket, ready, slots)
        count = min(room[key] + aside, head.count)
        if count > len(head.members):
            wanted[head.bucket_id] = count
    return wanted


def after_placing(snapshot: Snapshot, placed: Mapping[str, Sequence[tuple[str, Allocation]]]) -> Snapshot:
    """The snapshot once these hold their places: per node id the bucket and the allocation of each."""
    gone = Counter(bucket for pairs in placed.values() for bucket, _ in pairs)
    ids = {allocation.job_id for pairs in placed.values() for _, allocation in pairs}
    nodes = tuple(_holding(n, [a for _, a in placed[n.id]]) if n.id in placed else n for n in snapshot.nodes)
    heads = tuple(_shortened(h, gone[h.bucket_id], ids) if h.bucket_id in gone else h for h in snapshot.heads)
    return replace(snapshot, nodes=nodes, heads=tuple(h for h in heads if h.count > 0))


def _holding(node: Node, more: Sequence[Allocation]) -> Node:
    return replace(node, free=node.free - total([a.vector for a in more]), allocations=(*node.allocations, *more))


def _shortened(head: BucketHead, by: int, ids: set[str]) -> BucketHead:
    return replace(head, count=head.count - by, members=tuple(m for m in head.members if m.job_id not in ids))


def _room_for(bucket: Bucket, ready: Sequence[Node], most: int) -> int:
    selector = dict(bucket.selector)
    places = 0
    for node in ready:
        if places >= most:
            break
        if matches(node.labels, selector):
            places += _places_on(bucket, node)
    return max(0, min(places, most))


def _places_on(bucket: Bucket, node: Node) -> int:
    if bucket.alone:
        return int(not node.allocations and bucket.vector.fits(node.capacity))
    return bucket.vector.times_in(node.free)
