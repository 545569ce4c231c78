"""A run of a workflow: where each of its steps is. One value, one `seq`; jobs are the truth of what runs.

A step that is ACTIVE has been given to jobs: one, or one for each item of its `for_each`. Their ids are derived from
workflow, step, item and run, so a crash between this record and the insertion of a job is mended by inserting it, by
anybody, any number of times. `run` grows when a step is to be done anew (retry, rerun), so that its jobs are others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from app.domain.ids import derived_job_id
from app.domain.json import Json
from app.domain.states import JobStatus


class WorkflowStatus(StrEnum):
    """The states of a run of a workflow."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


OVER = frozenset({WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED})


class StepStatus(StrEnum):
    """Where a step is. While it is ACTIVE, its job tells more."""

    PENDING = "PENDING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"
    REJECTED = "REJECTED"


ENDED = frozenset(StepStatus) - {StepStatus.PENDING, StepStatus.AWAITING_APPROVAL, StepStatus.ACTIVE}
UNSUCCESSFUL = frozenset({StepStatus.FAILED, StepStatus.TIMEOUT, StepStatus.CANCELLED, StepStatus.REJECTED})
OF_JOB: Mapping[JobStatus, StepStatus] = {
    JobStatus.COMPLETED: StepStatus.COMPLETED,
    JobStatus.FAILED: StepStatus.FAILED,
    JobStatus.TIMEOUT: StepStatus.TIMEOUT,
    JobStatus.CANCELLED: StepStatus.CANCELLED,
}
"""How a step ends when its job has ended so."""


@dataclass(frozen=True, slots=True)
class StepError:
    """Why a step failed that had no job, or could not be given to one."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ItemState:
    """One item of a `for_each`: ACTIVE, or how it ended. Items that are not there, or PENDING again, are pending."""

    status: StepStatus
    run: int = 0
    error: StepError | None = None
    cached_from: str | None = None


@dataclass(frozen=True, slots=True)
class ItemCounts:
    """The items of a step, counted: of `total` there are so many `active`, `completed` and `unsuccessful`; before
    `cursor` none is pending."""

    total: int
    active: int = 0
    completed: int = 0
    unsuccessful: int = 0
    cursor: int = 0

    @property
    def pending(self) -> int:
        return self.total - self.active - self.completed - self.unsuccessful


@dataclass(frozen=True, slots=True)
class StepState:
    """Where a step is, and why. `approve_by`: when the default of its approval is taken. `cached_from`: the job whose
    outputs it took over. `parameters`: laid over those of the definition, by a rerun. `never_began`: it was CANCELLED
    with the workflow before it had a job."""

    status: StepStatus = StepStatus.PENDING
    run: int = 0
    because: str | None = None
    error: StepError | None = None
    approved: bool = False
    approve_by: datetime | None = None
    cached_from: str | None = None
    parameters: Mapping[str, Json] = field(default_factory=dict)
    items: ItemCounts | None = None
    never_began: bool = False

    @property
    def ended(self) -> bool:
        return self.status in ENDED


FRESH = StepState()


@dataclass(frozen=True, slots=True)
class WorkflowEntry:
    """A line of a workflow's history: a change of its state, or what a user did to it."""

    seq: int
    source: WorkflowStatus | None
    to: WorkflowStatus
    reason: str
    at: datetime
    actor: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Workflow:
    """A run of a definition. `steps` and `items` hold what is not fresh; `counts`: how many steps are in each state.

    `wish`: what a user asked of its jobs and is not carried through yet: cancel, pause, resume. `approve_by`: the first
    moment at which the default of an approval is to be taken. `sealed`: where its secrets stand.
    """

    id: str
    name: str
    version: int
    tenant: str
    status: WorkflowStatus
    seq: int
    submitted_at: datetime
    steps: Mapping[str, StepState] = field(default_factory=dict)
    items: Mapping[str, Mapping[int, ItemState]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, Json] = field(default_factory=dict)
    history: tuple[WorkflowEntry, ...] = ()
    wish: str | None = None
    approve_by: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    schedule: str | None = None
    sealed: str | None = None

    @property
    def over(self) -> bool:
        return self.status in OVER

    @property
    def cancelling(self) -> bool:
        """Asked to end: no step begins, and it is CANCELLED when the last of its jobs has ended."""
        return self.wish == "cancel" and not self.over

    def step(self, step_id: str) -> StepState:
        """Where a step is."""
        return self.steps.get(step_id, FRESH)

    def item(self, step_id: str, item: int) -> ItemState | None:
        """Where an item is; None while it is pending."""
        return self.items.get(step_id, {}).get(item)


class JobRef(NamedTuple):
    """Which job of a workflow: that of a step, or of one of its items, in one of its runs."""

    step_id: str
    item: int | None
    run: int

    def job_id(self, workflow_id: str) -> str:
        """The id that it has, whoever inserts it."""
        return derived_job_id(workflow_id, self.step_id, "" if self.item is None else str(self.item), str(self.run))


def active_jobs(workflow: Workflow) -> list[JobRef]:
    """The jobs that must exist and have not been seen to end."""
    found = []
    for step_id, state in workflow.steps.items():
        if state.status is not StepStatus.ACTIVE:
            continue
        if state.items is None:
            found.append(JobRef(step_id, None, state.run))
            continue
        items = workflow.items.get(step_id, {})
        found += [JobRef(step_id, n, each.run) for n, each in items.items() if each.status is StepStatus.ACTIVE]
    return found
