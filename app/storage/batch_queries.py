"""What is asked of batches and of the jobs of one, as filters, orders and pipelines. Pure.

All questions about the jobs of a batch are answered by one index (`of_batch`) alone, without a look at a job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.domain.batches import ENDED, BatchQuery, BatchStatus
from app.domain.priority import Priority
from app.storage.job_queries import OPEN

Filter = dict[str, Any]

INDEX = "of_batch"
KEYS = (("batch_id", 1), ("status", 1), ("effective_priority", 1), ("order_key", 1), ("_id", 1))
IN_ORDER = [("order_key", 1), ("_id", 1)]
OPEN_BATCHES = sorted(s.value for s in BatchStatus if s not in ENDED)


def matching(query: BatchQuery) -> Filter:
    """The filter of a listing; ids are in the order of submission."""
    found: Filter = {}
    if query.status:
        found["status"] = {"$in": sorted(s.value for s in query.status)}
    if query.kind is not None:
        found["kind"] = query.kind.value
    if query.after is not None:
        found["_id"] = {"$lt": query.after}
    return found


def open_batches(after: str | None) -> Filter:
    """Those that have not ended, from beyond this id on."""
    return {"status": {"$in": OPEN_BATCHES}, **({} if after is None else {"_id": {"$gt": after}})}


def counts(batch_ids: Sequence[str]) -> list[Filter]:
    """How many jobs of each of these batches are in which state."""
    return [
        {"$match": {"batch_id": {"$in": list(batch_ids), "$type": "string"}}},
        {"$group": {"_id": {"batch": "$batch_id", "status": "$status"}, "jobs": {"$sum": 1}}},
    ]


def waiting(batch_id: str, priority: Priority) -> Filter:
    """Its SUBMITTED jobs of a class."""
    return {"batch_id": batch_id, "status": "SUBMITTED", "effective_priority": priority.value}


def open_jobs(batch_id: str) -> Filter:
    """Its jobs that have not ended."""
    classes = {"$in": [p.value for p in Priority]}
    return {"batch_id": batch_id, "status": {"$in": list(OPEN)}, "effective_priority": classes}
