"""A line of a history as it is answered: of a whole, a batch or a workflow; or of a job, with its attempt."""

from __future__ import annotations

from typing import Any

from app.domain.batches import BatchEntry
from app.domain.job import Entry
from app.domain.timestamps import rfc3339
from app.domain.workflows.state import WorkflowEntry


def entry_view(entry: BatchEntry | WorkflowEntry | Entry) -> dict[str, Any]:
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


def job_entry_view(entry: Entry) -> dict[str, Any]:
    """The same, and in which attempt and run."""
    return {**entry_view(entry), "attempt": entry.attempt, "run_no": entry.run_no}
