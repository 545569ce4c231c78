"""Resources and nodes as they are answered, and the sums that make them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from app.agreement import differing
from app.config import Settings
from app.domain.nodes import Drain, Node, NodeState
from app.domain.resources import Vector, total
from app.domain.timestamps import optional_rfc3339 as moment

View = dict[str, Any]


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


def node_view(node: Node, settings: Settings) -> View:
    """A node with its lease and what it runs; `settings`: the service's, which its worker should have been told."""
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
        "settings_differ": differing(settings, node.facts),
    }


def _drain(drain: Drain) -> View:
    return {"actor": drain.actor, "reason": drain.reason, "at": moment(drain.at), "patient": drain.patient}


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
