"""Why the members of a bucket wait, given a snapshot in which whatever could be placed has been placed.

All reasons that hold, the deciding one first: no node at all; no node that carries the labels; no node large enough
even when empty; no slot; no room now. An empty verdict means that only its turn is missing. A selector that no node
matches is never `unsatisfiable`: a node with that label may register at any time. Nor is what would fit on a node that
is draining: it may take work again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest

from app.domain import explain
from app.domain.explain import Reason
from app.domain.nodes import Node, NodeState, matches
from app.domain.queueing import Bucket, Request, Selector
from app.domain.resources import Vector, largest_misfit, total
from app.scheduler.snapshot import Snapshot

Verdicts = Mapping[str, tuple[Reason, ...]]
READY_FOR_TURN = "position"
"""The deciding reason of a bucket whose verdict is empty."""
MOST_COMPARED = 32
"""Nodes among which the one that lacks least is looked for, so that thousands of buckets can be judged."""


def verdicts(snapshot: Snapshot) -> Verdicts:
    """Reasons by bucket id."""
    judge = Judge(snapshot)
    return {head.bucket_id: judge.reasons(head.bucket) for head in snapshot.heads}


def reason_counts(snapshot: Snapshot, known: Verdicts) -> Counter[str]:
    """How many waiting jobs each deciding reason holds."""
    counts: Counter[str] = Counter()
    for head in snapshot.heads:
        reasons = known.get(head.bucket_id)
        counts[reasons[0].code if reasons else READY_FOR_TURN] += head.count
    return counts


@dataclass(frozen=True, slots=True)
class Field:
    """The ready nodes that carry a selector's labels, and what is asked of them again and again."""

    nodes: tuple[Node, ...]
    capacities: tuple[Vector, ...]
    free: Vector
    most: Vector
    """The most that any has free in each dimension."""
    roomiest: tuple[Node, ...]
    """Those among which the one that lacks least is looked for: all, or with many nodes the first in each dimension."""

    @classmethod
    def of(cls, nodes: Sequence[Node]) -> Field:
        capacities = tuple(dict.fromkeys(n.capacity for n in nodes))
        free = [n.free for n in nodes]
        most = Vector(*(max(parts) for parts in zip(*(f.parts() for f in free), strict=True)))
        return cls(tuple(nodes), capacities, total(free), most, _roomiest(nodes))


class Judge:
    """Answers for buckets over one snapshot; what depends only on vector and selector is found once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._ready = snapshot.ready
        self._draining = tuple(n for n in snapshot.nodes if n.state is NodeState.DRAINING)
        self._slots = _slot_reason(snapshot)
        self._fields: dict[Selector, Field] = {}
        self._known: dict[Request, tuple[Reason, ...]] = {}

    def reasons(self, bucket: Bucket) -> tuple[Reason, ...]:
        """All reasons that hold, the deciding one first."""
        key = bucket.request
        if key not in self._known:
            never = self._never(bucket)
            now = [] if never else _no_room(bucket, self._field(bucket.selector))
            self._known[key] = (*never, *self._slots, *now)
        return self._known[key]

    def _never(self, bucket: Bucket) -> list[Reason]:
        """Why it could not start even on an idle cluster."""
        if not self._ready:
            return [explain.no_workers([n.id for n in self._draining])]
        field = self._field(bucket.selector)
        missing = largest_misfit(bucket.vector, list(field.capacities))
        if field.nodes and not missing:
            return []
        if able := [n.id for n in self._draining if _could_hold(n, bucket)]:
            return [explain.draining(able, bucket.vector.units())]
        if not field.nodes:
            return [explain.node_selector(bucket.selector, len(self._ready))]
        return [explain.unsatisfiable(missing or {}, bucket.vector.units())]

    def _field(self, selector: Selector) -> Field:
        if selector not in self._fields:
            wanted = dict(selector)
            self._fields[selector] = Field.of([n for n in self._ready if matches(n.labels, wanted)])
        return self._fields[selector]


def _slot_reason(snapshot: Snapshot) -> list[Reason]:
    used, limit = snapshot.slots_used, snapshot.slot_limit
    return [explain.concurrency_limit(used, limit)] if limit and used >= limit else []


def _could_hold(node: Node, bucket: Bucket) -> bool:
    return matches(node.labels, dict(bucket.selector)) and bucket.vector.fits(node.capacity)


def _no_room(bucket: Bucket, field: Field) -> list[Reason]:
    return _none_empty(bucket.vector, field) if bucket.alone else _none_free(bucket.vector, field)


def _none_empty(vector: Vector, field: Field) -> list[Reason]:
    """Which node is nearest to being empty; none when one is."""
    able = [n for n in field.nodes if vector.fits(n.capacity)]
    calmest = min(able, key=lambda n: (len(n.allocations), n.id))
    return [explain.alone(calmest.id, len(calmest.allocations), len(able))] if calmest.allocations else []


def _none_free(vector: Vector, field: Field) -> list[Reason]:
    """What the node that lacks least is short of; empty when some node has room."""
    if vector.fits(field.most) and any(vector.fits(n.free) for n in field.nodes):
        return []
    able = [n for n in field.roomiest if vector.fits(n.capacity)] or [n for n in field.nodes if vector.fits(n.capacity)]
    nearest = min(able, key=lambda n: (*_shortage(vector, n), n.id))
    return [explain.resources(vector.lacks(nearest.free), vector.units(), nearest.id, vector.fits(field.free))]


def _roomiest(nodes: Sequence[Node]) -> tuple[Node, ...]:
    if len(nodes) <= MOST_COMPARED:
        return tuple(nodes)
    found: dict[str, Node] = {}
    for dimension in range(4):
        best = nlargest(MOST_COMPARED // 4, nodes, key=lambda n: (n.free.parts()[dimension], n.id))
        found |= {n.id: n for n in best}
    return tuple(found.values())


def _shortage(vector: Vector, node: Node) -> tuple[int, int]:
    """In how many dimensions the node is short, and by how much, in thousandths of its capacity."""
    pairs = zip(vector.parts(), node.free.parts(), node.capacity.parts(), strict=True)
    short = [1000 * (need - have) // max(1, whole) for need, have, whole in pairs if need > have]
    return len(short), sum(short)
