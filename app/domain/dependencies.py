"""May a job with dependencies start, must it end, or does it wait? Pure: parents' states in, verdict out.

Only `all_complete` acts yet; the API refuses the other types. The table over all types comes with the workflows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.job import Job
from app.domain.states import TERMINAL, JobStatus


@dataclass(frozen=True, slots=True)
class Waits:
    """Parents are still open; `open` names them."""

    open: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Met:
    """The dependency is met."""


@dataclass(frozen=True, slots=True)
class Hopeless:
    """It can no longer be met; `cause` is the first ancestor that ended otherwise."""

    cause: str


Verdict = Waits | Met | Hopeless


def judge(job: Job, parents: Mapping[str, Job]) -> Verdict:
    """The verdict on `job` from its parents. A parent that is missing (deleted by retention) counts as failed."""
    for parent_id in job.dependencies:
        parent = parents.get(parent_id)
        if parent is None:
            return Hopeless(parent_id)
        if parent.status in TERMINAL and parent.status is not JobStatus.COMPLETED:
            return Hopeless(first_cause(parent))
    waiting = tuple(p for p in job.dependencies if parents[p].status is not JobStatus.COMPLETED)
    return Waits(waiting) if waiting else Met()


def first_cause(parent: Job) -> str:
    """The ancestor where the failure began: the parent, or what the parent itself names."""
    last = parent.history[-1] if parent.history else None
    if last is not None and last.reason == "dependency_failed" and last.detail:
        return last.detail
    return parent.id
