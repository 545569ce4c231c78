"""A batch as a document and back; names are the attributes of `Batch`, `_id` is the id.

Beside them: `last`, the newest history entry with what a subscriber wants to know, as a job has it; and `keyed`, the
answer that the batch was submitted with. Counts are an object of those states that occur.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from app.domain.batch_transitions import BatchChange, apply_batch
from app.domain.batches import (
    MOST_ENTRIES,
    Batch,
    BatchEntry,
    BatchKind,
    BatchStatus,
    Callback,
    Counts,
    ExecutionMode,
)
from app.domain.ids import is_object_id
from app.domain.job import Control
from app.domain.states import JobStatus
from app.storage.history_documents import whole_entry_document

Document = dict[str, Any]

PLAIN = (
    "name", "tenant", "seq", "size", "submitted_at", "max_parallel", "fail_fast", "template", "finished_at",
    "counted_at", "metadata", "spec", "outcome",
)  # fmt: skip
"""Attributes stored as they are."""
SUBJECT = ("name", "tenant", "kind")
"""What `last` tells of the batch beside the entry."""


def _entry_document(entry: BatchEntry) -> Document:
    return {**whole_entry_document(entry), "op": entry.op}


def _entry_from(d: Mapping[str, Any]) -> BatchEntry:
    source = None if d["from"] is None else BatchStatus(d["from"])
    return BatchEntry(d["seq"], source, BatchStatus(d["to"]), d["reason"], d["at"], d["actor"], d["detail"], d["op"])


def counts_document(counts: Counts) -> Document:
    return {state.value: number for state, number in counts.states.items()}


def count_from(row: Mapping[str, Any]) -> tuple[str, JobStatus, int]:
    """Of a batch so many jobs are in that state."""
    return row["_id"]["batch"], JobStatus(row["_id"]["status"]), row["jobs"]


def counts_from(d: Mapping[str, Any]) -> Counts:
    return Counts({JobStatus(state): int(number) for state, number in d.items()})


_ENCODERS: Mapping[str, Callable[[Any], Any]] = {
    "kind": lambda kind: kind.value,
    "mode": lambda mode: mode.value,
    "counts": counts_document,
    "control": lambda control: control and asdict(control),
    "callback": lambda callback: callback and asdict(callback),
}


def field_document(name: str, value: Any) -> Any:
    """The stored form of one attribute of Batch. Raises KeyError for what is none."""
    return value if name in PLAIN else _ENCODERS[name](value)


def batch_document(batch: Batch) -> Document:
    """The whole document of a batch."""
    fields = {name: field_document(name, getattr(batch, name)) for name in (*PLAIN, *_ENCODERS)}
    history = [_entry_document(entry) for entry in batch.history]
    return {"_id": batch.id, "status": batch.status.value, **fields, "history": history, "last": last_document(batch)}


def last_document(batch: Batch) -> Document:
    """What is told to subscribers: the newest entry, the counts as they are known, and when that was."""
    subject = {name: getattr(batch, name) for name in SUBJECT} | {"kind": batch.kind.value}
    counts = {"counts": counts_document(batch.counts), "size": batch.size}
    entry = _entry_document(batch.history[-1])
    return {**entry, **subject, **counts, "at": max(entry["at"], batch.counted_at or entry["at"])}


def batch_from(d: Mapping[str, Any]) -> Batch:
    """The batch of a document. Raises for one that cannot be read."""
    if not isinstance(d["_id"], str) or not is_object_id(d["_id"]):
        raise ValueError(f"_id is {str(d['_id'])[:80]!r}")
    batch = Batch(
        id=d["_id"],
        kind=BatchKind(d["kind"]),
        status=BatchStatus(d["status"]),
        mode=ExecutionMode(d["mode"]),
        counts=counts_from(d["counts"]),
        control=None if d["control"] is None else Control(**d["control"]),
        callback=None if d["callback"] is None else Callback(**d["callback"]),
        history=tuple(_entry_from(entry) for entry in d["history"]),
        **{name: d[name] for name in PLAIN},
    )
    if not batch.history or batch.history[-1].seq != batch.seq:
        raise ValueError(f"{len(batch.history)} entries at seq {batch.seq}")
    return batch


def change_update(batch: Batch, change: BatchChange) -> Document:
    """The update of a change that was decided on this batch."""
    after = apply_batch(batch, change)
    fields = {name: field_document(name, value) for name, value in change.fields.items()}
    fields |= {"status": after.status.value, "seq": after.seq, "last": last_document(after)}
    history = {"$each": [_entry_document(change.entry)], "$slice": -MOST_ENTRIES}
    return {"$set": fields, "$push": {"history": history}}
