"""A snapshot as canonical JSON and back, and the part of a plan that is kept: what makes a decision repeatable.

The planner is a pure function of the snapshot, so the bytes of a snapshot are the whole reason for a plan. Equal
snapshots give equal bytes, whatever order their parts came in: mappings are sorted by key, what has no order of its own
by id, and no number is rounded. What the planner does not look at (facts of nodes, leases) is left out.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from app.domain.canonical import digest, packed, unpacked
from app.domain.nodes import Allocation, Node, NodeState
from app.domain.priority import Priority
from app.domain.promises import Promise
from app.domain.queueing import Bucket, Demand
from app.domain.records import BucketHead, Member, Waiting
from app.domain.resources import Vector
from app.scheduler.planner import Placement, Plan
from app.scheduler.profile import Live
from app.scheduler.rules import Quota, Rules
from app.scheduler.snapshot import Snapshot

Value = dict[str, Any]
FORMAT = 1
"""Of the encoding; a reader refuses others."""


def snapshot_hash(snapshot: Snapshot) -> str:
    """Equal for equal snapshots, in whatever order their parts came."""
    return digest(snapshot_value(snapshot))


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot, packed."""
    return packed(snapshot_value(snapshot))


def decode(data: bytes) -> Snapshot:
    """The snapshot that plans like the one that was encoded. Raises ValueError, KeyError or TypeError for others."""
    return snapshot_from(unpacked(data))


def snapshot_value(snapshot: Snapshot) -> Value:
    """The JSON form of a snapshot."""
    return {
        "format": FORMAT,
        "now": snapshot.now,
        "credit": snapshot.credit,
        "paused": snapshot.paused,
        "preempted": list(snapshot.preempted),
        "rules": _rules_value(snapshot.rules),
        "nodes": [_node_value(n) for n in sorted(snapshot.nodes, key=lambda n: n.id)],
        "heads": [_head_value(h) for h in sorted(snapshot.heads, key=lambda h: h.bucket_id)],
        "live": [_live_value(live) for _, live in sorted(snapshot.live.items())],
        "lane": [_waiting_value(w) for w in snapshot.lane],
        "promises": [p.parts() for p in sorted(snapshot.promises, key=lambda p: (p.since, p.job_id))],
        "promised": [_waiting_value(w) for _, w in sorted(snapshot.promised.items())],
        "history": {tenant: list(held) for tenant, held in snapshot.history.items()},
    }


def snapshot_from(value: Value) -> Snapshot:
    """The snapshot of a JSON form. Raises ValueError, KeyError or TypeError for what `snapshot_value` has not made."""
    if value["format"] != FORMAT:
        raise ValueError(f"format {value['format']} of a snapshot is not known here; {FORMAT} is")
    return Snapshot(
        nodes=tuple(map(_node_from, value["nodes"])),
        heads=tuple(map(_head_from, value["heads"])),
        rules=_rules_from(value["rules"]),
        now=value["now"],
        live={(live.job_id, live.run_no): live for live in map(_live_from, value["live"])},
        lane=tuple(map(_waiting_from, value["lane"])),
        promises=tuple(map(Promise.from_parts, value["promises"])),
        promised={w.member.job_id: w for w in map(_waiting_from, value["promised"])},
        credit=value["credit"],
        history={tenant: _held_from(held) for tenant, held in value["history"].items()},
        paused=value["paused"],
        preempted=tuple(value["preempted"]),
    )


def plan_value(plan: Plan) -> Value:
    """What is kept of a plan: all that it does. The order is that in which it was decided."""
    return {
        "placements": [_placement_value(p) for p in plan.placements],
        "reservations": [p.parts() for p in plan.promises],
        "revoked": [{"promise": r.promise.parts(), "cause": r.cause} for r in plan.revoked],
        "evictions": [asdict(e) for e in plan.evictions],
        "credit": plan.credit,
        "capped": plan.capped,
        "faults": dict(plan.faults),
    }


def _placement_value(placement: Placement) -> Value:
    return {
        "job_id": placement.job_id,
        "bucket_id": placement.bucket_id,
        "node_id": placement.node_id,
        "epoch": placement.epoch,
        "vector": list(placement.vector.parts()),
        "gpu_indices": list(placement.gpu_indices),
        "job_gpus": list(placement.job_gpus),
        "overdue": placement.overdue,
    }


def _node_value(node: Node) -> Value:
    return {
        "id": node.id,
        "state": node.state.value,
        "epoch": node.epoch,
        "labels": dict(node.labels),
        "capacity": list(node.capacity.parts()),
        "free": list(node.free.parts()),
        "allocations": [
            [a.job_id, a.run_no, list(a.vector.parts()), list(a.gpu_indices)]
            for a in sorted(node.allocations, key=lambda a: (a.job_id, a.run_no))
        ],
    }


def _node_from(value: Value) -> Node:
    held = tuple(Allocation(j, run, Vector(*parts), tuple(gpus)) for j, run, parts, gpus in value["allocations"])
    capacity, free = Vector(*value["capacity"]), Vector(*value["free"])
    state, labels = NodeState(value["state"]), value["labels"]
    return Node(value["id"], state, value["epoch"], labels, capacity, free, allocations=held)


def _member_value(member: Member) -> list[Any]:
    return [member.job_id, _number(member.key), member.demand.parts()]


def _member_from(value: list[Any]) -> Member:
    job_id, key, parts = value
    return Member(job_id, float(key), Demand.from_parts(parts))


def _head_value(head: BucketHead) -> Value:
    members = [_member_value(m) for m in head.members]
    return {"id": head.bucket_id, "bucket": head.bucket.parts(), "count": head.count, "members": members}


def _head_from(value: Value) -> BucketHead:
    members = tuple(map(_member_from, value["members"]))
    return BucketHead(value["id"], Bucket.from_parts(value["bucket"]), value["count"], members)


def _waiting_value(waiting: Waiting) -> Value:
    member = _member_value(waiting.member)
    return {"id": waiting.bucket_id, "bucket": waiting.bucket.parts(), "member": member, "band": waiting.band}


def _waiting_from(value: Value) -> Waiting:
    return Waiting(value["id"], Bucket.from_parts(value["bucket"]), _member_from(value["member"]), value["band"])


_LIVE = tuple(f.name for f in fields(Live) if f.name != "selector")


def _live_value(live: Live) -> list[Any]:
    return [getattr(live, name) for name in _LIVE]


def _live_from(value: list[Any]) -> Live:
    parts = dict(zip(_LIVE, value, strict=True))
    return Live(**parts | {"priority": Priority(parts["priority"])})


def _rules_value(rules: Rules) -> Value:
    return {f.name: getattr(rules, f.name) for f in fields(Rules)} | {
        "weights": dict(rules.weights),
        "quotas": {tenant: asdict(quota) for tenant, quota in rules.quotas.items()},
    }


def _rules_from(value: Value) -> Rules:
    quotas = {tenant: _quota_from(parts) for tenant, parts in value["quotas"].items()}
    return Rules(**value | {"quotas": quotas})


def _quota_from(parts: Value) -> Quota:
    cpu, memory, gpu, storage = parts["vector"]
    return Quota((cpu, memory, gpu, storage), parts["running"], parts["waiting"])


def _held_from(value: list[float]) -> tuple[float, float, float, float]:
    cpu, memory, gpu, storage = map(float, value)
    return cpu, memory, gpu, storage


def _number(value: float) -> float | int:
    """A whole number as an integer, so that one number has one form."""
    return int(value) if value == int(value) else value
