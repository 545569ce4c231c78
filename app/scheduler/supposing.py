"""Changes applied to a scene: what would stand in the snapshot if they had been made.

They apply in turn, each to what those before it left. A job, run, node or kind that is not there is refused with the
path of the change that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.domain.errors import FieldError, Invalid
from app.domain.nearest import nearest_name
from app.domain.nodes import Node, NodeState
from app.domain.order_transitions import effective_class
from app.domain.priority import RANK, Priority
from app.domain.queueing import Bucket
from app.domain.records import Member, Waiting
from app.domain.resources import Vector
from app.domain.what_if import (
    AddJob,
    AddNodes,
    Cancel,
    DrainNode,
    MoveFirst,
    NodeKind,
    SetPriority,
    SetResources,
    Supposed,
    WithoutSelector,
)
from app.scheduler.scene import Scene

Kinds = Mapping[str, NodeKind]


class Missing(Exception):
    """A change names what is not there: the field that does, and what is wrong with it."""

    def __init__(self, name: str, message: str, nearest: str | None = None) -> None:
        super().__init__(message)
        self.name, self.message, self.nearest = name, message, nearest


def suppose_all(scene: Scene, changes: Sequence[Supposed], kinds: Kinds) -> Scene:
    """The scene after all changes. Raises Invalid that names each change that cannot be applied by its path."""
    errors = []
    for n, change in enumerate(changes):
        try:
            scene = suppose(scene, change, kinds, n)
        except Missing as missing:
            errors.append(FieldError(f"changes[{n}].{missing.name}", missing.message, missing.nearest))
    if errors:
        raise Invalid(errors)
    return scene


def suppose(scene: Scene, change: Supposed, kinds: Kinds, n: int = 0) -> Scene:
    """The scene after one change, the n-th. Raises Missing."""
    match change:
        case AddJob():
            return _with_new_job(scene, change, n)
        case Cancel(job_id):
            return _without(scene, job_id)
        case AddNodes(count, kind):
            return scene.with_nodes(new_nodes(count, kind, kinds, n))
        case DrainNode(node_id):
            return scene.with_nodes([replace(_node(scene, node_id), state=NodeState.DRAINING)])
        case _:
            return scene.with_job(_changed(scene, _waiting(scene, change.job_id), change))


def added_id(n: int) -> str:
    """What the job of the n-th change is called in the answer."""
    return f"added_{n}"


def _changed(
    scene: Scene, waiting: Waiting, change: SetPriority | SetResources | WithoutSelector | MoveFirst
) -> Waiting:
    bucket, member = waiting.bucket, waiting.member
    match change:
        case SetPriority(_, priority):
            return _in_class(waiting, priority)
        case SetResources(_, units):
            vector = Vector.from_units({**member.demand.vector.units(), **units})
            demand = replace(member.demand, vector=vector)
            return replace(waiting, bucket=replace(bucket, vector=vector), member=replace(member, demand=demand))
        case WithoutSelector():
            demand = replace(member.demand, selector=())
            return replace(waiting, bucket=replace(bucket, selector=()), member=replace(member, demand=demand))
        case MoveFirst():
            return _first_of_class(scene, waiting)


def _in_class(waiting: Waiting, priority: Priority) -> Waiting:
    """What it is lent, it keeps: its class was more urgent than the one it asked for."""
    bucket, member = waiting.bucket, waiting.member
    own = member.demand.own
    lent = bucket.priority if RANK[bucket.priority] < RANK[own] else None
    effective = effective_class(priority, lent)
    pin = bucket.pin if effective is bucket.priority else None
    demand = replace(member.demand, own=priority)
    return replace(waiting, bucket=replace(bucket, priority=effective, pin=pin), member=replace(member, demand=demand))


def _first_of_class(scene: Scene, waiting: Waiting) -> Waiting:
    """As a reorder to the first position makes it: before the first of its class, in that one's band."""
    snapshot, band = scene.snapshot, scene.shares.band
    places = [
        (band(h.bucket.tenant) if h.bucket.pin is None else h.bucket.pin, h.members[0].key)
        for h in snapshot.heads
        if h.members and h.bucket.priority is waiting.bucket.priority
    ]
    pin, key = min(places)
    return replace(waiting, bucket=replace(waiting.bucket, pin=pin), member=replace(waiting.member, key=key - 1.0))


def _with_new_job(scene: Scene, change: AddJob, n: int) -> Scene:
    demand, key = replace(change.demand, submitted=float(scene.base.now)), float(scene.base.now)
    bucket = Bucket(demand.own, change.tenant, demand.vector, demand.selector, demand.alone)
    return scene.with_job(Waiting(added_id(n), bucket, Member(added_id(n), key, demand)))


def _without(scene: Scene, job_id: str) -> Scene:
    if job_id in scene.jobs:
        return scene.without_job(job_id)
    if not scene.runs(job_id):
        raise Missing("job_id", f"job {job_id[:80]} neither waits in the queue nor holds a node")
    return scene.without_run(job_id)


def _waiting(scene: Scene, job_id: str) -> Waiting:
    if job_id not in scene.jobs:
        why = "runs, and" if scene.runs(job_id) else "does not wait in the queue:"
        raise Missing("job_id", f"job {job_id[:80]} {why} only a waiting job can be changed")
    return scene.jobs[job_id]


def _node(scene: Scene, node_id: str) -> Node:
    nodes = {n.id: n for n in scene.base.nodes}
    if node_id not in nodes:
        raise Missing("node_id", f"there is no node {node_id[:80]}", nearest_name(node_id, list(nodes)))
    return nodes[node_id]


def new_nodes(count: int, kind: str, kinds: Kinds, n: int) -> list[Node]:
    """The nodes that the n-th change adds. Raises Missing for a kind that is not known."""
    if kind not in kinds:
        known = ", ".join(sorted(kinds)) or "none: NODE_TYPES is empty"
        message = f"there is no node type {kind[:80]}; known: {known}"
        raise Missing("type", message, nearest_name(kind, list(kinds)))
    of = kinds[kind]
    return [
        Node(f"added_{n}_{i}", NodeState.READY, 1, of.labels, of.capacity, of.capacity) for i in range(1, count + 1)
    ]
