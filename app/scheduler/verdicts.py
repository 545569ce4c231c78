"""Why the members of a bucket wait, given a snapshot in which whatever could be placed has been placed.

All reasons that hold, the deciding one first: the queue is paused; no node at all; no node that carries the labels; no
node large enough even when empty; over quota; no slot; behind tenants that hold less; no room now; room that is
promised to another. An empty verdict means that only its turn is missing. A selector that no node matches is never
`unsatisfiable`: a node with that label may register at any time. Nor is what would fit on a node that is draining: it
may take work again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest

from app.domain import explain
from app.domain.explain import Reason
from app.domain.nodes import Node, NodeState, matches
from app.domain.priority import Priority, moment
from app.domain.queueing import Bucket, Demand, Request, Selector
from app.domain.resources import DIMENSIONS, SCALES, Vector, largest_misfit, total
from app.domain.scheduler_state import QueuePause
from app.scheduler.planner import Plan, shares_of
from app.scheduler.snapshot import Snapshot

Verdicts = Mapping[str, tuple[Reason, ...]]
READY_FOR_TURN = "position"
"""The deciding reason of a bucket whose verdict is empty."""
MOST_COMPARED = 32
"""Nodes among which the one that lacks least is looked for, so that thousands of buckets can be judged."""


def verdicts(snapshot: Snapshot, plan: Plan | None = None, pause: QueuePause | None = None) -> Verdicts:
    """Reasons by bucket id: those of its head, which hold for its members too."""
    judge = Judge(snapshot, plan, pause)
    return {h.bucket_id: judge.reasons(h.bucket_id, h.bucket, h.members[0].demand) for h in snapshot.heads if h.members}


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
    """Answers for waiting jobs over one snapshot; what depends only on the request is found once. `plan`: what was
    decided on the snapshot, for quotas and promises; `pause`: the queue's."""

    def __init__(self, snapshot: Snapshot, plan: Plan | None = None, pause: QueuePause | None = None) -> None:
        self._ready = snapshot.ready
        self._draining = tuple(n for n in snapshot.nodes if n.state is NodeState.DRAINING)
        self._slots = _slot_reason(snapshot)
        self._withheld = (plan and plan.withheld) or {}
        self._over_quota = (plan and plan.over_quota) or {}
        self._paused = [explain.queue_paused(pause.actor, pause.at, pause.reason)] if pause else []
        self._fair = FairShare(snapshot)
        self._fields: dict[Selector, Field] = {}
        self._known: dict[Request, tuple[tuple[Reason, ...], tuple[Reason, ...]]] = {}

    def reasons(self, bucket_id: str, bucket: Bucket, demand: Demand) -> tuple[Reason, ...]:
        """All reasons that hold for a job of that bucket, the deciding one first."""
        never, no_room = self._of_request(demand)
        if never:
            return (*self._paused, *never, *self._slots)
        quota = self._quota(bucket_id, bucket.tenant)
        unfair = self._fair.reasons(bucket) if no_room or self._slots else []
        promised = [] if no_room else self._promised(bucket_id)
        return (*self._paused, *quota, *self._slots, *unfair, *no_room, *promised)

    def of_request(self, demand: Demand) -> tuple[Reason, ...]:
        """Those that hold for whoever asks for that."""
        never, no_room = self._of_request(demand)
        return (*never, *self._slots, *no_room)

    def _of_request(self, demand: Demand) -> tuple[tuple[Reason, ...], tuple[Reason, ...]]:
        key = demand.request
        if key not in self._known:
            never = self._never(demand)
            now = [] if never else _no_room(demand, self._field(demand.selector))
            self._known[key] = tuple(never), tuple(now)
        return self._known[key]

    def _quota(self, bucket_id: str, tenant: str) -> list[Reason]:
        over = self._over_quota.get(bucket_id)
        if over is None:
            return []
        if over.dimension is None:
            return [explain.quota(tenant, "running", over.amount, over.limit)]
        name, scale = DIMENSIONS[over.dimension], SCALES[over.dimension]
        return [explain.quota(tenant, name, over.amount / scale, over.limit / scale)]

    def _promised(self, bucket_id: str) -> list[Reason]:
        p = self._withheld.get(bucket_id)
        return [] if p is None else [explain.behind_reservation(p.job_id, p.node_id, moment(p.by), moment(p.limit))]

    def _never(self, demand: Demand) -> list[Reason]:
        """Why it could not start even on an idle cluster."""
        if not self._ready:
            return [explain.no_workers([n.id for n in self._draining])]
        field = self._field(demand.selector)
        missing = largest_misfit(demand.vector, field.capacities)
        if field.nodes and not missing:
            return []
        if able := [n.id for n in self._draining if _could_hold(n, demand)]:
            return [explain.draining(able, demand.vector.units())]
        if not field.nodes:
            return [explain.node_selector(demand.selector, len(self._ready))]
        return [explain.unsatisfiable(missing or {}, demand.vector.units())]

    def _field(self, selector: Selector) -> Field:
        if selector not in self._fields:
            wanted = dict(selector)
            self._fields[selector] = Field.of([n for n in self._ready if matches(n.labels, wanted)])
        return self._fields[selector]


class FairShare:
    """Which tenants wait behind others of the same class because they hold more."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.shares = shares_of(snapshot)
        self._waiting: dict[Priority, set[str]] = {}
        for head in snapshot.heads:
            self._waiting.setdefault(head.bucket.priority, set()).add(head.bucket.tenant)

    def reasons(self, bucket: Bucket) -> list[Reason]:
        """One for a bucket behind others, else none."""
        band = self.shares.band
        if bucket.pin is not None or not band(bucket.tenant):
            return []
        before = sorted(t for t in self._waiting.get(bucket.priority, ()) if band(t) < band(bucket.tenant))
        if not before:
            return []
        level, entitled = self.shares.level(bucket.tenant), self.shares.entitled(bucket.tenant)
        return [explain.fair_share(bucket.tenant, level, entitled, before)]


def _slot_reason(snapshot: Snapshot) -> list[Reason]:
    used, limit = snapshot.slots_used, snapshot.rules.slots
    return [explain.concurrency_limit(used, limit)] if limit and used >= limit else []


def _could_hold(node: Node, demand: Demand) -> bool:
    return matches(node.labels, dict(demand.selector)) and demand.vector.fits(node.capacity)


def _no_room(demand: Demand, field: Field) -> list[Reason]:
    return _none_empty(demand.vector, field) if demand.alone else _none_free(demand.vector, field)


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
