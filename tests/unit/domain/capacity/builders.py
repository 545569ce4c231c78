"""Builders of fleets. Vectors are written as (cores, GB, GPUs); a node has 8 cores and 32 GB."""

from __future__ import annotations

from typing import Any

from app.domain.capacity.fleet import Fleet, FleetNode, Stream, Want
from app.domain.capacity.kinds import NodeType
from app.domain.priority import Priority
from app.domain.queueing import Request, labels
from app.domain.resources import Vector, total

NODE = Vector(8_000, 32_768, 0, 100)


def vector(cores: float = 1, memory_gb: float = 1, gpus: int = 0) -> Vector:
    return Vector.from_units({"cpu_cores": cores, "memory_gb": memory_gb, "gpu_count": gpus})


def asks(cores: float = 1, memory_gb: float = 1, gpus: int = 0, alone: bool = False, **selector: str) -> Request:
    return vector(cores, memory_gb, gpus), labels(selector), alone


def a_type(name: str = "small", capacity: Vector = NODE, **parts: Any) -> NodeType:
    return NodeType(name, capacity, **{"boot": 120.0, **parts})


def types(*kinds: NodeType) -> dict[str, NodeType]:
    return {kind.name: kind for kind in kinds or (a_type(),)}


def a_node(name: str, *runs: Request, kind: str | None = "small", capacity: Vector = NODE, **parts: Any) -> FleetNode:
    """A node with these runs, which end in ten minutes."""
    busy = {"left": 600.0 * len(runs), "empty_in": 600.0} if runs else {}
    held = total([request[0] for request in runs])
    named = {} if kind is None else {"node_type": kind}
    return FleetNode(name, kind, capacity, named, capacity - held, runs, **{**busy, **parts})


def wants(waiting: int = 1, request: Request | None = None, **parts: Any) -> Want:
    """Normal jobs of ten minutes whose start is not in sight."""
    priority = parts.pop("priority", Priority.NORMAL)
    name = parts.pop("bucket", f"b-{priority.value}-{waiting}")
    return Want(name, priority, request or asks(), waiting, parts.pop("mean", 600.0), **parts)


def keeps_coming(rate: float, request: Request | None = None, **parts: Any) -> Stream:
    return Stream(parts.pop("priority", Priority.NORMAL), request or asks(), parts.pop("mean", 600.0), rate)


def a_fleet(*ready: FleetNode, **parts: Any) -> Fleet:
    return Fleet(ready=ready, **parts)
