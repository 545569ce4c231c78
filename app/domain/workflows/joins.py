"""May a step begin, is it to be skipped, or does it wait? The rules are those of all dependencies
(`app.domain.dependencies`); here stands what they mean for a step.

What the ends of the parents lead to depends on the ends alone, never on their order: that hopes are gone through
skipped parents only is said when all have ended, so that a failed parent outweighs a skipped one whichever came first.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from app.domain.dependencies import End, Met, Waits, decide
from app.domain.job import DependencyType
from app.domain.workflows.state import StepStatus

END_OF: Mapping[StepStatus, End] = {
    StepStatus.PENDING: End.OPEN,
    StepStatus.AWAITING_APPROVAL: End.OPEN,
    StepStatus.ACTIVE: End.OPEN,
    StepStatus.COMPLETED: End.COMPLETED,
    StepStatus.FAILED: End.FAILED,
    StepStatus.TIMEOUT: End.TIMEOUT,
    StepStatus.CANCELLED: End.CANCELLED,
    StepStatus.SKIPPED: End.SKIPPED,
    StepStatus.REJECTED: End.CANCELLED,
}
"""What a step is to those that wait for it. A rejected one was ended by a person, as a cancelled one."""


class Join(StrEnum):
    """What the parents of a step say. The last three are reasons to skip it."""

    WAITS = "waits"
    MET = "met"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_SKIPPED = "upstream_skipped"
    NO_FAILURE = "no_failure"


def settles(kind: DependencyType, end: StepStatus) -> bool:
    """Whether a parent that ends so says all, whatever becomes of the others."""
    return join(kind, {"ended": end, "open": StepStatus.PENDING}) is not Join.WAITS


def join(kind: DependencyType, parents: Mapping[str, StepStatus]) -> Join:
    """The verdict on a step with these parents."""
    ends = {step_id: END_OF[status] for step_id, status in parents.items()}
    verdict = decide(kind, ends)
    if isinstance(verdict, Met):
        return Join.MET
    if isinstance(verdict, Waits):
        return Join.WAITS
    if kind is DependencyType.ANY_FAILED:
        return Join.NO_FAILURE
    if any(ends[parent] is not End.SKIPPED for parent in verdict.parents):
        return Join.UPSTREAM_FAILED
    return Join.WAITS if End.OPEN in ends.values() else Join.UPSTREAM_SKIPPED
