"""A line of the history of a whole, a batch or a workflow, as it is stored. That of a job tells its attempt, too."""

from __future__ import annotations

from typing import Any

from app.domain.batches import BatchEntry
from app.domain.workflows.state import WorkflowEntry


def whole_entry_document(entry: BatchEntry | WorkflowEntry) -> dict[str, Any]:
    """What changed, when, by whom and why."""
    return {
        "seq": entry.seq,
        "from": None if entry.source is None else entry.source.value,
        "to": entry.to.value,
        "reason": entry.reason,
        "at": entry.at,
        "actor": entry.actor,
        "detail": entry.detail,
    }
