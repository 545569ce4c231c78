"""Whether the values of a stored job are of the types that the domain counts on.

MongoDB holds whatever was written. A job whose `retry_at` is a text would be read without a fault and stop, much later,
the loop that compares it with the time; so it is refused where it is read. Checked for every job that is read, hence
written to be fast: one table, one pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from math import inf, isfinite
from typing import Any

from app.domain.ids import is_object_id
from app.domain.job import Job
from app.domain.nodes import Node
from app.domain.resources import Vector

NOTHING = type(None)
_TEXT, _TIME = (str,), (datetime,)
_MAYBE_TEXT, _MAYBE_TIME = (str, NOTHING), (datetime, NOTHING)
_NUMBER, _MAYBE_NUMBER, _COUNT = (int, float), (int, float, NOTHING), (int,)

FIELDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("name", "tenant", "template", "executor"), _TEXT),
    **dict.fromkeys(("node_id", "checkpoint", "batch_id", "workflow_id", "step_id"), _MAYBE_TEXT),
    **dict.fromkeys(("seq", "template_version", "attempt", "run_no", "infra_losses", "attempt_base"), _COUNT),
    **dict.fromkeys(("order_key", "timeout"), _NUMBER),
    "preemptible": (bool,),
    "queue_deadline": _MAYBE_NUMBER,
    "submitted_at": _TIME,
    **dict.fromkeys(("start_after", "queued_at", "scheduled_at", "started_at", "finished_at", "retry_at"), _MAYBE_TIME),
    **dict.fromkeys(("parameters", "metadata", "node_selector"), (dict,)),
    "result": (dict, NOTHING),
    **dict.fromkeys(("dependencies", "tags", "limits", "gpu_indices", "attempts", "history", "steps"), (list,)),
}
LATER: Mapping[str, tuple[type, ...]] = {
    "prefer": (dict,),
    "pin": (int, NOTHING),
    "step_item": (int, NOTHING),
    "moved_to": (int, NOTHING),
    "preempted": _COUNT,
    "expected": (dict, NOTHING),
    "sealed": _MAYBE_TEXT,
    "asked": (list,),
    "sizing": (dict, NOTHING),
    "membership": (dict, NOTHING),
}
"""Fields that documents of earlier versions lack."""
DURATION: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("median", "mean", "cautious"), _NUMBER),
    "source": _TEXT,
    "group": _MAYBE_TEXT,
    "runs": _COUNT,
}
_FIELDS = tuple(FIELDS.items())
_TEXTS = ("dependencies", "tags", "limits")


class Malformed(ValueError):
    """A stored value is not what it must be."""

    def __init__(self, field: str, value: Any) -> None:
        super().__init__(f"{field} is {type(value).__name__} {str(value)[:80]!r}")


_OF_TICKET = ("order_key", "tenant", "node_selector", "submitted_at", "timeout", "preemptible")
_OF_PLACE = ("node_id", "run_no")


def check_ticket(document: Mapping[str, Any]) -> None:
    """What a queue ticket is made of beside its bucket. Raises as `check_job`."""
    _check(document, _OF_TICKET)
    for field in ("order_key", "timeout"):
        if not isfinite(document[field]):
            raise Malformed(field, document[field])
    _check_later(document)


def check_place(document: Mapping[str, Any]) -> None:
    """Where a job is. Raises as `check_job`."""
    _check(document, _OF_PLACE)


def _check(document: Mapping[str, Any], fields: Iterable[str]) -> None:
    _check_id(document)
    for field in fields:
        if not isinstance(document[field], FIELDS[field]):
            raise Malformed(field, document[field])


def _check_id(document: Mapping[str, Any]) -> None:
    """An id with a dot or the like cannot stand in the ledger of a node, and would stop whoever places the job."""
    job_id = document["_id"]
    if not isinstance(job_id, str) or not is_object_id(job_id):
        raise Malformed("_id", job_id)


def check_amounts(amounts: Iterable[Any]) -> None:
    """A vector of resources holds whole numbers, not below zero."""
    for amount in amounts:
        if not isinstance(amount, int) or amount < 0:
            raise Malformed("resources", amount)


def check_job(document: Mapping[str, Any]) -> None:
    """Raises Malformed for the first field whose value is of a wrong type, KeyError for one that is missing."""
    _check_id(document)
    for field, types in _FIELDS:
        if not isinstance(document[field], types):
            raise Malformed(field, document[field])
    for field in _TEXTS:
        if not all(isinstance(text, str) for text in document[field]):
            raise Malformed(field, document[field])
    if not isfinite(document["order_key"]):
        raise Malformed("order_key", document["order_key"])
    check_selector(document["node_selector"])
    _check_later(document)


def _check_later(document: Mapping[str, Any]) -> None:
    """The fields of `LATER`, where they are."""
    for field, types in LATER.items():
        if field in document and not isinstance(document[field], types):
            raise Malformed(field, document[field])
    if prefer := document.get("prefer"):
        check_selector(prefer, "prefer")
    if (expected := document.get("expected")) is not None:
        _check_duration(expected)
    if (membership := document.get("membership")) is not None:
        _check_membership(membership)


def _check_duration(expected: Mapping[str, Any]) -> None:
    """A duration has all its parts, and seconds that can be counted with."""
    for field, types in DURATION.items():
        if not isinstance(expected[field], types):
            raise Malformed(f"expected.{field}", expected[field])
    for field in ("median", "mean", "cautious"):
        if not 0 <= expected[field] < inf:
            raise Malformed(f"expected.{field}", expected[field])


def _check_membership(membership: Mapping[str, Any]) -> None:
    """A place in a batch is a number, and so is a width. Raises Malformed, KeyError."""
    for field, types in (("index", _COUNT), ("width", (int, NOTHING)), ("in_order", (bool,))):
        if not isinstance(membership[field], types):
            raise Malformed(f"membership.{field}", membership[field])


def check_selector(selector: Mapping[str, Any], field: str = "node_selector") -> None:
    """Labels are texts by name."""
    if not all(isinstance(value, str) for value in selector.values()):
        raise Malformed(field, selector)


def check_lease(document: Mapping[str, Any]) -> None:
    """A lease that somebody holds, or has held. Raises as `check_job`."""
    for field, types in (("_id", _TEXT), ("holder", _TEXT), ("epoch", _COUNT), ("until", _TIME)):
        if not isinstance(document[field], types):
            raise Malformed(field, document[field])


def checked_node(node: Node) -> Node:
    """The node, when its parts are what they must be. Raises Malformed, AttributeError."""
    check_selector(node.labels)
    check_amounts(node.capacity.parts())
    if not isinstance(node.id, str) or not isinstance(node.epoch, int) or not isinstance(node.facts, dict):
        raise Malformed("node", node)
    for amount in node.free.parts():
        if not isinstance(amount, int):
            raise Malformed("free", amount)
    for allocation in node.allocations:
        check_amounts((*allocation.vector.parts(), *allocation.gpu_indices, allocation.run_no))
        if not isinstance(allocation.job_id, str):
            raise Malformed("allocations", allocation.job_id)
    return node


def _sized(job: Job) -> tuple[Vector | None, ...]:
    """What its sizing tells in resources."""
    sizing = job.sizing
    if sizing is None:
        return ()
    return sizing.resources, sizing.suggestion, *(other.resources for other in sizing.alternatives)


def checked(job: Job) -> Job:
    """The job, when its parts fit together. Raises Malformed."""
    check_amounts(job.resources.parts())
    for amount in (*_sized(job), *(a.asked for a in job.attempts)):
        if amount is not None:
            check_amounts(amount.parts())
    if not job.history or job.history[-1].seq != job.seq:
        raise Malformed("history", f"{len(job.history)} entries at seq {job.seq}")
    for entry in job.history:
        if not isinstance(entry.at, datetime) or not isinstance(entry.seq, int):
            raise Malformed("history", entry)
    return job
