"""Builders of nodes, bucket heads and snapshots. Vectors are written as (cores, GB, GPUs)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.nodes import Allocation, Node, NodeState
from app.domain.priority import SECOND, Priority
from app.domain.queueing import Bucket, Demand, duration_class, labels
from app.domain.records import BucketHead, Member, Waiting
from app.domain.resources import Vector, total
from app.scheduler.planner import Plan, plan
from app.scheduler.profile import Live
from app.scheduler.rules import Rules
from app.scheduler.snapshot import Snapshot

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def vector(cores: float = 1, memory_gb: float = 1, gpus: int = 0) -> Vector:
    return Vector.from_units({"cpu_cores": cores, "memory_gb": memory_gb, "gpu_count": gpus})


def a_node(
    name: str = "n1",
    capacity: Vector | None = None,
    held: tuple[Allocation, ...] = (),
    labels: dict[str, str] | None = None,
    state: NodeState = NodeState.READY,
) -> Node:
    whole = capacity or vector(8, 32)
    free = whole - total([a.vector for a in held])
    return Node(name, state, 1, labels or {}, whole, free, False, held, lease_until=NOW + timedelta(hours=1))


def an_allocation(job_id: str, of: Vector | None = None, gpus: tuple[int, ...] = (), run_no: int = 1) -> Allocation:
    return Allocation(job_id, run_no, of or vector(), gpus)


def a_head(
    *ids: str,
    of: Vector | None = None,
    priority: Priority = Priority.NORMAL,
    selector: dict[str, str] | None = None,
    keys: tuple[float, ...] = (),
    count: int | None = None,
    alone: bool = False,
    tenant: str = "default",
    pin: int | None = None,
    **demand: Any,
) -> BucketHead:
    """A bucket with these jobs; their keys count up from 0 unless given. `demand`: other parts of `Demand`."""
    asked = Demand(of or vector(), priority, selector=labels(selector or {}), alone=alone, **demand)
    duration = duration_class(asked.cautious)
    bucket = Bucket(priority, tenant, asked.vector, asked.selector, alone, pin, duration)
    found = [(job_id, keys[n] if keys else float(n)) for n, job_id in enumerate(ids)]
    members = tuple(Member(job_id, key, replace(asked, submitted=key)) for job_id, key in found)
    return BucketHead(bucket.id, bucket, len(ids) if count is None else count, members)


def seconds(amount: float) -> int:
    """In the planner's microseconds."""
    return round(amount * SECOND)


def a_run(job_id: str, mean_end: int, hard_end: int = 10**12, tenant: str = "default") -> Live:
    """A run that began at 0 and should end then."""
    return Live(job_id, 1, tenant, Priority.NORMAL, 0, mean_end, hard_end, mean_end)


def in_lane(head: BucketHead) -> tuple[Waiting, ...]:
    """The members of a bucket as the guarantee lane has them."""
    return tuple(Waiting(head.bucket_id, head.bucket, member) for member in head.members)


def a_snapshot(nodes: list[Node], heads: list[BucketHead], slot_limit: int = 0, **more: Any) -> Snapshot:
    rules = more.pop("rules", Rules())
    return Snapshot(tuple(nodes), tuple(heads), replace(rules, slots=slot_limit or rules.slots), **more)


def planned(nodes: list[Node], heads: list[BucketHead], slot_limit: int = 0, most: int = 500, **more: Any) -> Plan:
    snapshot = a_snapshot(nodes, heads, slot_limit, **more)
    return plan(replace(snapshot, rules=replace(snapshot.rules, placements=most)))


def where(made: Plan) -> dict[str, str]:
    """Node by job."""
    return {p.job_id: p.node_id for p in made.placements}
