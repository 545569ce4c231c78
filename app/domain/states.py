"""The state machine as data: ten states, and every edge with its reason, in one table.

Everything else is derived from it: what is terminal, what is allowed from here, the filters of the store, the tests,
and `docs/state_machine.md`. A transition that is not a row here does not exist.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class JobStatus(StrEnum):
    """The ten public states of a job."""

    SUBMITTED = "SUBMITTED"
    QUEUED = "QUEUED"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"


MEANING: dict[JobStatus, str] = {
    JobStatus.SUBMITTED: "accepted, not yet eligible: dependencies unmet, or a start time in the future",
    JobStatus.QUEUED: "eligible, waiting in its priority queue",
    JobStatus.SCHEDULED: "resources allocated on a node, dispatched, not yet started",
    JobStatus.RUNNING: "executing",
    JobStatus.PAUSED: "stopped by a user: frozen on its node, checkpointed and released, or held before it started",
    JobStatus.RETRYING: "a run ended without success and another follows after its delay",
    JobStatus.COMPLETED: "finished successfully",
    JobStatus.FAILED: "ended with an error",
    JobStatus.CANCELLED: "ended by a user",
    JobStatus.TIMEOUT: "ended because a time limit passed",
}


class Edge(NamedTuple):
    """One allowed transition. `source` is None for the insertion."""

    source: JobStatus | None
    reason: str
    target: JobStatus


def _edges(source: JobStatus | None, target: JobStatus, *reasons: str) -> list[Edge]:
    return [Edge(source, reason, target) for reason in reasons]


_S = JobStatus
FAILURES = ("error", "timeout", "worker_lost", "out_of_memory", "stalled")
"""Why a run may end without success and be tried again."""

EDGES: tuple[Edge, ...] = (
    *_edges(None, _S.SUBMITTED, "submitted"),
    *_edges(None, _S.QUEUED, "submitted"),
    *_edges(_S.SUBMITTED, _S.QUEUED, "eligible"),
    *_edges(_S.SUBMITTED, _S.PAUSED, "hold"),
    *_edges(_S.SUBMITTED, _S.CANCELLED, "cancelled"),
    *_edges(_S.SUBMITTED, _S.FAILED, "dependency_failed"),
    *_edges(_S.SUBMITTED, _S.TIMEOUT, "queue_deadline"),
    *_edges(_S.QUEUED, _S.SCHEDULED, "placed"),
    *_edges(_S.QUEUED, _S.SUBMITTED, "dependency_added"),
    *_edges(_S.QUEUED, _S.PAUSED, "hold"),
    *_edges(_S.QUEUED, _S.CANCELLED, "cancelled"),
    *_edges(_S.QUEUED, _S.FAILED, "dependency_failed", "unsatisfiable"),
    *_edges(_S.QUEUED, _S.TIMEOUT, "queue_deadline"),
    *_edges(_S.SCHEDULED, _S.RUNNING, "started"),
    *_edges(_S.SCHEDULED, _S.QUEUED, "dispatch_lost"),
    *_edges(_S.SCHEDULED, _S.PAUSED, "hold"),
    *_edges(_S.SCHEDULED, _S.CANCELLED, "cancelled"),
    *_edges(_S.RUNNING, _S.COMPLETED, "completed", "pruned"),
    *_edges(_S.RUNNING, _S.FAILED, "error", "permanent", "worker_lost", "out_of_memory", "stalled", "poisoned"),
    *_edges(_S.RUNNING, _S.CANCELLED, "cancelled"),
    *_edges(_S.RUNNING, _S.TIMEOUT, "timeout"),
    *_edges(_S.RUNNING, _S.PAUSED, "paused", "released"),
    *_edges(_S.RUNNING, _S.RETRYING, *FAILURES),
    *_edges(_S.RUNNING, _S.QUEUED, "preempted", "drained", "checkpointed"),
    *_edges(_S.PAUSED, _S.RUNNING, "resumed"),
    *_edges(_S.PAUSED, _S.QUEUED, "resume_eligible"),
    *_edges(_S.PAUSED, _S.SUBMITTED, "resume_not_eligible"),
    *_edges(_S.PAUSED, _S.CANCELLED, "cancelled"),
    *_edges(_S.PAUSED, _S.RETRYING, "worker_lost"),
    *_edges(_S.PAUSED, _S.TIMEOUT, "queue_deadline"),
    *_edges(_S.PAUSED, _S.FAILED, "dependency_failed", "worker_lost", "poisoned"),
    *_edges(_S.PAUSED, _S.PAUSED, "released"),
    *_edges(_S.RETRYING, _S.QUEUED, "retry_due"),
    *_edges(_S.RETRYING, _S.PAUSED, "hold"),
    *_edges(_S.RETRYING, _S.CANCELLED, "cancelled"),
    *_edges(_S.RETRYING, _S.TIMEOUT, "queue_deadline"),
    *(
        edge
        for source in (_S.FAILED, _S.TIMEOUT, _S.CANCELLED)
        for edge in (
            *_edges(source, _S.QUEUED, "manual_retry"),
            *_edges(source, _S.SUBMITTED, "manual_retry_not_eligible"),
        )
    ),
)

ALLOWED: frozenset[Edge] = frozenset(EDGES)

MANUAL = frozenset({"manual_retry", "manual_retry_not_eligible"})


def allowed_from(status: JobStatus | None) -> tuple[JobStatus, ...]:
    """The states that can follow, in the table's order, without repeats."""
    return tuple(dict.fromkeys(e.target for e in EDGES if e.source == status))


TERMINAL: frozenset[JobStatus] = frozenset(
    s for s in JobStatus if all(e.reason in MANUAL for e in EDGES if e.source == s)
)
"""States with no way out but a manual retry."""
OPEN: frozenset[JobStatus] = frozenset(JobStatus) - TERMINAL
"""States of a job that has not ended."""

WAITING: frozenset[JobStatus] = frozenset({_S.SUBMITTED, _S.QUEUED, _S.RETRYING})
ON_NODE: frozenset[JobStatus] = frozenset({_S.SCHEDULED, _S.RUNNING})
"""States in which a job always holds an allocation. A PAUSED one does while it is frozen (`Job.on_node`)."""

STATE_KEEPING: dict[str, frozenset[JobStatus]] = {
    "priority_changed": OPEN,
    "reordered": frozenset({_S.QUEUED}),
    "dependencies_added": frozenset({_S.SUBMITTED, _S.QUEUED, _S.PAUSED}),
    "control_requested": frozenset({_S.RUNNING, _S.PAUSED}),
}
"""Entries that record a user's change without a change of state (`from` = `to`): reason → in which states."""


def is_allowed(edge: Edge) -> bool:
    """Whether a table holds this edge: one that moves, or one that records and keeps the state."""
    if edge in ALLOWED:
        return True
    return edge.source == edge.target and edge.target in STATE_KEEPING.get(edge.reason, frozenset())


def as_markdown() -> str:
    """The page `docs/state_machine.md`, made from the tables above."""
    rows = "\n".join(f"| {s} | {MEANING[s]} | {'yes' if s in TERMINAL else ''} |" for s in JobStatus)
    edges = "\n".join(f"| {e.source or '(new)'} | `{e.reason}` | {e.target} |" for e in EDGES)
    arrows: dict[tuple[str, str], list[str]] = {}
    for e in EDGES:
        arrows.setdefault((e.source or "[*]", e.target), []).append(e.reason)
    drawing = "\n".join(f"    {a} --> {b}: {', '.join(r)}" for (a, b), r in arrows.items())
    kept = "\n".join(
        f"| `{r}` | {', '.join(s for s in JobStatus if s in where)} |" for r, where in STATE_KEEPING.items()
    )
    return (
        "<!-- generated by `make docs` from app/domain/states.py; do not edit -->\n# State machine\n\n"
        f"| state | meaning | terminal |\n|---|---|---|\n{rows}\n\n```mermaid\nstateDiagram-v2\n{drawing}\n```\n\n"
        f"| from | reason | to |\n|---|---|---|\n{edges}\n\n"
        "Entries that record a user's change and keep the state (`from` = `to`):\n\n"
        f"| reason | in |\n|---|---|\n{kept}\n"
    )
