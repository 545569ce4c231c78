"""A line of the history of a whole, a batch or a workflow, as it is answered. That of a job tells its attempt, too."""

from __future__ import annotations

from typing import Any

from app.domain.batches import BatchEntry
from app.domain.timestamps import rfc3339
from app.domain.workflows.state import WorkflowEntry


def whole_entry_view(entry: BatchEntry | WorkflowEntry) -> dict[str, Any]:
    """What changed, when, by whom and why."""
    return {
        "seq": entry.seq,
        "from": entry.source,
        "to": entry.to,
        "reason": entry.reason,
        "at": rfc3339(entry.at),
        "actor": entry.actor,
        "detail": entry.detail,
    }
