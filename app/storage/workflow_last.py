"""What the feed tells of a workflow: `last`, written with every change, and read by `feed.events`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from app.domain.workflows.changes import WorkflowChange, has_own_job
from app.domain.workflows.state import JobRef, StepState, StepStatus, Workflow, WorkflowEntry
from app.storage.history_documents import whole_entry_document

Document = dict[str, Any]


def last_of_new(workflow: Workflow) -> Document:
    """That of the insertion, which may be a start as well."""
    return _told(workflow, workflow.seq, workflow.submitted_at, workflow.history, [])


def last_of(change: WorkflowChange) -> Document:
    """What the feed tells of a change: its entries, the state, the counts, and the steps that no job tells of."""
    moved = [
        {
            "step_id": step_id,
            "status": state.status.value,
            "job_id": _job_id(change, step_id, state),
            "skipped_because": state.because,
        }
        for step_id, state in change.steps.items()
        if not has_own_job(state)
    ]
    return _told(change, change.seq + 1, change.at, change.entries, moved)


def _told(
    of: Workflow | WorkflowChange, seq: int, at: datetime, entries: Iterable[WorkflowEntry], moved: list[Document]
) -> Document:
    known = {"name": of.name, "status": of.status.value, "counts": dict(of.counts)}
    return {
        **known,
        "seq": seq,
        "at": at,
        "entries": [whole_entry_document(entry) for entry in entries],
        "moved": moved,
    }


def _job_id(change: WorkflowChange, step_id: str, state: StepState) -> str | None:
    if state.cached_from is not None:
        return state.cached_from
    if state.status is not StepStatus.ACTIVE or state.items is not None:
        return None
    return JobRef(step_id, None, state.run).job_id(change.workflow_id)
