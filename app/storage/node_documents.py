"""Documents of nodes, and the stages and guards that change them: the ledger's arithmetic, done by the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any

from app.domain.ids import is_object_id, run_key
from app.domain.nodes import Allocation, Drain, Node, NodeReport, NodeState
from app.domain.resources import total
from app.storage.amounts import vector_document, vector_from
from app.storage.mongo import Document

DIMENSIONS = ("cpu_millicores", "memory_mib", "gpu", "storage_gib")


def last_move(state: Any, reason: Any, at: Any) -> Document:
    return {"state": state, "reason": reason, "at": at}


def drain_stages(drain: Drain | None, at: datetime) -> list[Document]:
    """The stages that write the wish and move the node with it, where it is READY or DRAINING."""
    source, target = (NodeState.DRAINING, NodeState.READY) if drain is None else (NodeState.READY, NodeState.DRAINING)
    wish = None if drain is None else _drain_document(drain)
    moves: Document = {"$eq": ["$state", source.value]}
    if drain is None:  # a worker that is stopping is DRAINING without a wish, and stays so
        moves = {"$and": [moves, {"$eq": [{"$type": "$drain"}, "object"]}]}
    reason = "resumed" if drain is None else "drained"
    return [
        {
            "$set": {
                "drain": {"$literal": wish},
                "state": {"$cond": [moves, target.value, "$state"]},
                "last": {"$cond": [moves, {"$literal": last_move(target.value, reason, at)}, "$last"]},
            }
        }
    ]


def _drain_document(drain: Drain) -> Document:
    wish = {"actor": drain.actor, "reason": drain.reason, "at": drain.at}
    return {**wish, "patient": True} if drain.patient else wish


def registration(node: Node) -> list[Document]:
    """The stages that write what a node is: its allocations stay, and `free` is counted anew from them."""
    capacity = vector_document(node.capacity)
    is_ledger = {"$eq": [{"$type": "$allocations"}, "object"]}
    held = {"$objectToArray": "$allocations"}
    free = {
        d: {"$subtract": [capacity[d], {"$sum": {"$map": {"input": held, "in": f"$$this.v.vector.{d}"}}}]}
        for d in DIMENSIONS
    }
    taken = {
        "$reduce": {"input": held, "initialValue": [], "in": {"$concatArrays": ["$$value", "$$this.v.gpus"]}},
    }
    stands = {"$and": [{"$eq": [{"$type": "$drain"}, "object"]}, {"$ne": ["$drain.patient", True]}]}
    drained = {"$and": [node.state is NodeState.READY, stands]}
    state = {"$cond": [drained, NodeState.DRAINING.value, node.state.value]}
    what = {
        "state": state,
        "epoch": node.epoch,
        "labels": {"$literal": dict(node.labels)},
        "logical": node.logical,
        "facts": {"$literal": dict(node.facts)},
        "registered_at": node.registered_at or "$$NOW",
        "capacity": capacity,
        "allocations": {"$cond": [is_ledger, "$allocations", {"$literal": {}}]},
        "drain": {"$cond": [stands, "$drain", None]},
        "last": last_move(state, "registered", node.registered_at or "$$NOW"),
    }
    counted = {"free": free, "gpu_free": {"$setDifference": [list(range(node.capacity.gpu)), taken]}}
    return [{"$set": what}, {"$set": counted}]


def reservation(node_id: str, allocations: Sequence[Allocation]) -> tuple[Document, Document]:
    """Guard and update: the node takes work, holds none of these, and has room for all."""
    need = vector_document(total([a.vector for a in allocations]))
    indices = [n for a in allocations for n in a.gpu_indices]
    keys = {f"allocations.{_key(a)}": _allocation_document(a) for a in allocations}
    guard: Document = {"_id": node_id, "state": NodeState.READY.value}
    guard |= {key: {"$exists": False} for key in keys}
    guard |= {f"free.{d}": {"$gte": need[d]} for d in DIMENSIONS if need[d]}
    update: Document = {"$set": keys, "$inc": {f"free.{d}": -need[d] for d in DIMENSIONS}}
    if indices:
        guard["gpu_free"] = {"$all": indices}
        update["$pull"] = {"gpu_free": {"$in": indices}}
    return guard, update


def release_stages(keys: Sequence[str]) -> list[Document]:
    """The stages that give back these runs; those that are not held add nothing."""
    free = {
        f"free.{d}": {"$add": [f"$free.{d}", *({"$ifNull": [f"$allocations.{k}.vector.{d}", 0]} for k in keys)]}
        for d in DIMENSIONS
    }
    gpus = {"$setUnion": ["$gpu_free", *({"$ifNull": [f"$allocations.{k}.gpus", []]} for k in keys)]}
    return [{"$set": free | {"gpu_free": gpus}}, {"$unset": [f"allocations.{k}" for k in keys]}]


def node_from(d: Mapping[str, Any], lease_until: datetime | None = None) -> Node:
    """The node of a document."""
    allocations = tuple(
        Allocation(a["job_id"], a["run_no"], vector_from(a["vector"]), tuple(a["gpus"]))
        for _, a in sorted(d["allocations"].items())
    )
    return Node(
        id=d["_id"],
        state=NodeState(d["state"]),
        epoch=d["epoch"],
        labels=d["labels"],
        capacity=vector_from(d["capacity"]),
        free=vector_from(d["free"]),
        logical=d["logical"],
        allocations=allocations,
        facts=d["facts"],
        registered_at=d["registered_at"],
        lease_until=lease_until,
        drain=None if d.get("drain") is None else Drain(**d["drain"]),
        report=_report_from(d.get("report")),
    )


def report_document(report: NodeReport) -> Document:
    use = {"cpu_cores": report.cpu_cores, "memory_mib": report.memory_mib}
    return {"at": report.at, "since": report.since, **use, "refused": dict(report.refused)}


def _report_from(d: Any) -> NodeReport | None:
    """What cannot be read is not there: no node is set aside for what it said of itself."""
    try:
        report = None if d is None else NodeReport(**d)
        if report is not None and not isfinite(report.cpu_cores + report.memory_mib + sum(report.refused.values())):
            return None
    except (TypeError, AttributeError):
        return None
    return report if report is None or _are_times(report.at, report.since) else None


def _are_times(*values: Any) -> bool:
    return all(isinstance(value, datetime) for value in values)


def _allocation_document(a: Allocation) -> Document:
    return {"job_id": a.job_id, "run_no": a.run_no, "vector": vector_document(a.vector), "gpus": list(a.gpu_indices)}


def _key(allocation: Allocation) -> str:
    """The run's key. A job id with a dot would nest silently, so it is refused here too."""
    if not is_object_id(allocation.job_id):
        raise ValueError(f"{allocation.job_id!r} is no job id")
    return run_key(allocation.job_id, allocation.run_no)
