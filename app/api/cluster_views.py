"""Queue, resources and nodes as they are answered, and the sums that make them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from app.domain.nodes import Drain, Node, NodeState
from app.domain.priority import Priority
from app.domain.records import StateCount
from app.domain.resources import Vector, total
from app.domain.states import JobStatus
from app.domain.timestamps import optional_rfc3339 as moment

View = dict[str, Any]
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def duration_text(seconds: float) -> str:
    """The two largest parts: `0s`, `2m 30s`, `1h 5m`, `3d 2h`; a part of zero is left out."""
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit, size in _UNITS:
        amount, left = divmod(left, size)
        if amount or parts:
            parts.append((amount, unit))
    return " ".join(f"{amount}{unit}" for amount, unit in parts[:2] if amount) or "0s"


def queue_status_view(counts: Sequence[StateCount], waited: Mapping[Priority, float], now: datetime) -> View:
    """`waited`: mean seconds that jobs started in the last hour had waited, per class that has any."""
    jobs = {status: sum(c.jobs for c in counts if c.status is status) for status in JobStatus}
    queued = {c.priority: c for c in counts if c.status is JobStatus.QUEUED}
    return {
        "queue_length": jobs[JobStatus.QUEUED],
        "running_jobs": jobs[JobStatus.RUNNING],
        "pending_jobs": jobs[JobStatus.SUBMITTED] + jobs[JobStatus.RETRYING],
        "scheduled_jobs": jobs[JobStatus.SCHEDULED],
        "paused_jobs": jobs[JobStatus.PAUSED],
        "queues": {p.value: _class_view(queued.get(p), waited.get(p), now) for p in Priority},
    }


def _class_view(queued: StateCount | None, waited: float | None, now: datetime) -> View:
    if waited is None:
        waited = _waiting_now(queued, now) if queued else 0.0
    length = queued.jobs if queued else 0
    return {"length": length, "avg_wait_time": duration_text(waited), "avg_wait_seconds": round(waited, 3)}


def _waiting_now(queued: StateCount, now: datetime) -> float:
    """Mean wait of those in the queue; of the oldest alone when the store gave no mean."""
    if queued.mean_wait_seconds is not None:
        return queued.mean_wait_seconds
    return max(0.0, (now - queued.oldest).total_seconds()) if queued.oldest else 0.0


def availability_view(nodes: Sequence[Node]) -> View:
    """Sums over nodes that are not lost, and each node."""
    present = [n for n in nodes if n.state is not NodeState.LOST]
    return {
        "total": total([n.capacity for n in present]).units(),
        "allocated": total([n.allocated for n in present]).units(),
        "available": total([_available(n) for n in present]).units(),
        "nodes": [_node_resources(n) for n in nodes],
    }


def _available(node: Node) -> Vector:
    """What the node would give to a new job: nothing while it drains or is lost."""
    return node.free if node.state is NodeState.READY else Vector()


def _node_resources(node: Node) -> View:
    return {
        "node_id": node.id,
        "state": node.state,
        "labels": node.labels,
        "logical": node.logical,
        "total": node.capacity.units(),
        "allocated": node.allocated.units(),
        "available": _available(node).units(),
    }


def node_view(node: Node) -> View:
    """A node with its lease and what it runs."""
    return {
        **_node_resources(node),
        "epoch": node.epoch,
        "registered_at": moment(node.registered_at),
        "lease_until": moment(node.lease_until),
        "drain": None if node.drain is None else _drain(node.drain),
        "allocations": [
            {"job_id": a.job_id, "run_no": a.run_no, "resources": a.vector.units(), "gpu_indices": a.gpu_indices}
            for a in node.allocations
        ],
        "facts": node.facts,
    }


def _drain(drain: Drain) -> View:
    return {"actor": drain.actor, "reason": drain.reason, "at": moment(drain.at)}


_IDLE = {NodeState.READY: "idle", NodeState.DRAINING: "draining", NodeState.LOST: "offline"}


def worker_view(node: Node, lease: timedelta, completed: int) -> View:
    """A worker for the platform's front end. Its last sign of life: its last renewal of a lease of length `lease`."""
    run = node.allocations[0] if node.allocations else None
    busy = run is not None and node.state is NodeState.READY
    return {
        "worker_id": node.id,
        "status": "busy" if busy else _IDLE[node.state],
        "current_task_id": f"{run.job_id}-{run.run_no}" if run else None,
        "current_job_id": run.job_id if run else None,
        "tasks_completed": completed,
        "last_activity_time": moment(node.lease_until - lease if node.lease_until else node.registered_at),
    }
