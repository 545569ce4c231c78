"""Builders of nodes, bucket heads and snapshots. Vectors are written as (cores, GB, GPUs)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.domain.nodes import Allocation, Node, NodeState
from app.domain.priority import Priority
from app.domain.queueing import Bucket
from app.domain.records import BucketHead, Member
from app.domain.resources import Vector, total
from app.scheduler.ordering import Candidates
from app.scheduler.planner import Plan, plan
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
) -> BucketHead:
    """A bucket with these jobs; their keys count up from 0 unless given."""
    bucket = Bucket(priority, "default", of or vector(), tuple(sorted((selector or {}).items())), alone)
    members = tuple(Member(job_id, keys[n] if keys else float(n)) for n, job_id in enumerate(ids))
    return BucketHead(bucket.id, bucket, len(ids) if count is None else count, members)


def a_snapshot(nodes: list[Node], heads: list[BucketHead], slot_limit: int = 0) -> Snapshot:
    return Snapshot(tuple(nodes), tuple(heads), slot_limit)


def planned(nodes: list[Node], heads: list[BucketHead], slot_limit: int = 0, most: int = 500) -> Plan:
    snapshot = a_snapshot(nodes, heads, slot_limit)
    return plan(snapshot, Candidates(snapshot.heads), most)


def where(made: Plan) -> dict[str, str]:
    """Node by job."""
    return {p.job_id: p.node_id for p in made.placements}
