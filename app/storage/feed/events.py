"""Stored changes as events. Pure: documents in, events out; nothing is looked up.

A job document carries `last`, its newest history entry together with name, tags, batch and workflow, so that a change
tells everything a subscriber needs. Progress and log lines carry only the job's id: whose they are is the `subject`
that the job's last transition told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.events import Event
from app.domain.timestamps import rfc3339
from app.storage.batch_documents import counts_from

Document = Mapping[str, Any]

QUEUE_REASONS = frozenset({"priority_changed", "reordered"})
"""Reasons of entries that move a job within the queue."""


def subject_of(job_id: str, last: Document) -> dict[str, Any]:
    """What subscribers filter by, and events are counted by."""
    return {
        "job_id": job_id,
        "workflow_id": last.get("workflow_id"),
        "batch_id": last.get("batch_id"),
        "tags": last.get("tags") or [],
        "template": last.get("template"),
        "class": last.get("priority"),
    }


def entry_events(job_id: str, entry: Document, last: Document) -> Iterator[Event]:
    """`job.state` for a history entry, `job.queue` too when it moved the job. `last` tells name and subject."""
    if not isinstance(entry["seq"], int):
        raise TypeError("a history entry without a number")
    subject = subject_of(job_id, last)
    state = {
        "type": "job.state",
        "job_id": job_id,
        "name": last.get("name"),
        "seq": entry["seq"],
        "from": entry["from"],
        "to": entry["to"],
        "reason": entry["reason"],
        "at": rfc3339(entry["at"]),
        "actor": entry["actor"],
        "attempt": entry["attempt"],
        "run_no": entry["run_no"],
        "detail": entry["detail"],
    }
    yield Event("job.state", state, subject=subject)
    if entry["seq"] == last.get("seq") and entry["from"] != entry["to"] and (step := step_event(job_id, last)):
        yield step
    if entry["reason"] in QUEUE_REASONS:
        moved_by_hand = entry["reason"] == "reordered"
        moved = {
            "type": "job.queue",
            "job_id": job_id,
            "class": last.get("effective_priority"),
            "position": last.get("moved_to") if moved_by_hand and entry["seq"] == last.get("seq") else None,
            "actor": entry["actor"],
            "reason": entry["detail"],
        }
        yield Event("job.queue", moved, subject=subject)


def step_event(job_id: str, last: Document) -> Event | None:
    """`workflow.step`: what a job of a workflow has become is what its step has become."""
    workflow_id, step_id = last.get("workflow_id"), last.get("step_id")
    if workflow_id is None or step_id is None:
        return None
    data = {
        "type": "workflow.step",
        "workflow_id": workflow_id,
        "step_id": step_id,
        "status": last["to"],
        "job_id": job_id,
        "item": last.get("step_item"),
        "skipped_because": None,
    }
    return Event("workflow.step", data, subject=subject_of(job_id, last))


def workflow_events(workflow_id: str, last: Document) -> Iterator[Event]:
    """`workflow.step` for each step that no job tells of, then `workflow.state` for each entry of the history, or one
    that has none. All tell the status and the counts after the write, so that it matters to none which came last."""
    subject = {"workflow_id": workflow_id}
    for moved in last["moved"]:
        data = {
            "type": "workflow.step",
            "workflow_id": workflow_id,
            "step_id": moved["step_id"],
            "status": "RUNNING" if moved["status"] == "ACTIVE" else moved["status"],
            "job_id": moved["job_id"],
            "item": None,
            "skipped_because": moved.get("skipped_because"),
        }
        yield Event("workflow.step", data, subject=subject)
    entries: list[Document] = last.get("entries") or [{}]
    for entry in entries:
        state = {
            "type": "workflow.state",
            "id": workflow_id,
            "status": last["status"],
            "counts": last["counts"],
            "at": rfc3339(last["at"]),
            "name": last.get("name", workflow_id),
            "seq": entry.get("seq", last["seq"]),
            **{name: entry.get(name) for name in ("reason", "actor", "detail")},
        }
        yield Event("workflow.state", state, subject=subject)


def progress_event(job_id: str, progress: Document, subject: Mapping[str, Any]) -> Event:
    """What a live run last said."""
    data = {
        "type": "job.progress",
        "job_id": job_id,
        "step": progress.get("step"),
        "progress": progress["fraction"],
        "metrics": progress.get("metrics") or {},
        "text": progress.get("text"),
    }
    return Event("job.progress", data, subject=subject)


def log_events(chunk: Document, subject: Mapping[str, Any]) -> Iterator[Event]:
    """One event a line of a stored chunk."""
    for line in chunk["lines"]:
        data = {
            "type": "log.line",
            "job_id": chunk["job_id"],
            "run_no": chunk["run_no"],
            "step": line["step"],
            "n": line["n"],
            "at": rfc3339(line["at"]),
            "stream": line["stream"],
            "text": line["text"],
        }
        yield Event("log.line", data, subject=subject)


def node_event(node_id: str, last: Document) -> Event:
    """A node joined, drains, or was lost."""
    data = {
        "type": "node.state",
        "node_id": node_id,
        "state": last["state"],
        "at": rfc3339(last["at"]),
        "reason": last.get("reason"),
    }
    return Event("node.state", data)


def batch_event(batch_id: str, last: Document) -> Event:
    """A batch changed its state, or how far it has come."""
    counts = counts_from(last["counts"])
    data = {
        "type": "batch.state",
        "id": batch_id,
        "status": last["to"],
        "counts": counts.tell(),
        "size": last["size"],
        "at": rfc3339(last["at"]),
        "name": last["name"],
        "kind": last["kind"],
        "seq": last["seq"],
        "reason": last["reason"],
        "actor": last["actor"],
        "detail": last["detail"],
    }
    return Event("batch.state", data, subject={"batch_id": batch_id})


def resync_event(reason: str, token: str | None) -> Event:
    """Something was missed: whoever keeps a picture reads it anew."""
    return Event("resync", {"type": "resync", "reason": reason}, token)
