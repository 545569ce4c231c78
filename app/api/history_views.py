"""A line of a history as it is answered, of a batch or a workflow."""

from __future__ import annotations

from typing import Any

from app.domain.batches import BatchEntry
from app.domain.timestamps import rfc3339
from app.domain.workflows.state import WorkflowEntry


def entry_view(entry: BatchEntry | WorkflowEntry) -> dict[str, Any]:
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
