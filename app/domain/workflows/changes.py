"""From what is to be changed in a workflow to the one write that does it.

A control, or the end of jobs, gives a `Draft`: the workflow as the control itself makes it. `advance` says what
follows, and `change` joins both to a `WorkflowChange`, so that no crash can come between a cause and what follows from
it. Only the jobs are inserted, and told, after it; whoever looks later finds from the workflow which.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from app.domain.transitions import Stamp
from app.domain.workflows.advance import Advance, Ended
from app.domain.workflows.state import (
    ENDED,
    FRESH,
    OVER,
    ItemState,
    StepState,
    StepStatus,
    Workflow,
    WorkflowEntry,
    WorkflowStatus,
)

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Draft:
    """The workflow as a control makes it (`steps`: those that it touched), and what `advance` is to look at."""

    workflow: Workflow
    steps: Mapping[str, StepState] = field(default_factory=dict)
    items: Mapping[tuple[str, int], ItemState] = field(default_factory=dict)
    forget_items: frozenset[str] = frozenset()
    reason: str | None = None
    detail: str | None = None
    ended: tuple[Ended, ...] = ()
    approvals: Mapping[str, bool] = field(default_factory=dict)
    look_at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkflowChange:
    """A decided change: holds only while the workflow is still at `seq`. `op` identifies the write, so that one that is
    sent again is recognised. `forget_items`: steps whose items are all fresh again, before `items` is laid over."""

    workflow_id: str
    name: str
    seq: int
    op: str
    at: datetime
    status: WorkflowStatus
    counts: Mapping[str, int]
    wish: str | None
    approve_by: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    inputs: Mapping[str, object]
    sealed: str | None
    steps: Mapping[str, StepState]
    items: Mapping[tuple[str, int], ItemState]
    forget_items: frozenset[str]
    entries: tuple[WorkflowEntry, ...]


def touched(workflow: Workflow, steps: Mapping[str, StepState], **fields: object) -> Workflow:
    """The workflow with these steps as they are here, counted anew, and these attributes."""
    counts = dict(workflow.counts)
    for step_id, state in steps.items():
        before = workflow.step(step_id).status
        counts[before] = counts.get(before, 0) - 1
        counts[state.status] = counts.get(state.status, 0) + 1
    return replace(workflow, steps={**workflow.steps, **steps}, counts=counts, **fields)  # type: ignore[arg-type]


def change(before: Workflow, draft: Draft, after: Advance, stamp: Stamp) -> WorkflowChange | None:
    """The write that makes it so; None where nothing is to be written."""
    entries = tuple(_entries(before, draft, after, stamp))
    if not entries and not after.changed and not draft.steps and draft.workflow.wish == before.wish:
        return None
    steps = {**draft.steps, **after.steps}
    over = after.status in OVER
    return WorkflowChange(
        workflow_id=before.id,
        name=before.name,
        seq=before.seq,
        op=stamp.op,
        at=stamp.at,
        status=after.status,
        counts={str(status): n for status, n in after.counts.items() if n},
        wish=None if over else draft.workflow.wish,
        approve_by=_approve_by(before, draft.workflow, steps),
        started_at=draft.workflow.started_at,
        finished_at=(draft.workflow.finished_at or stamp.at) if over else None,
        inputs=draft.workflow.inputs,
        sealed=draft.workflow.sealed,
        steps=steps,
        items={**draft.items, **after.items},
        forget_items=draft.forget_items | after.forget,
        entries=entries,
    )


def _entries(before: Workflow, draft: Draft, after: Advance, stamp: Stamp) -> Iterable[WorkflowEntry]:
    """What a user did, then the end that follows from it."""
    seq, status = before.seq + 1, draft.workflow.status
    if draft.reason is not None:
        yield WorkflowEntry(seq, before.status, status, draft.reason, stamp.at, stamp.actor, draft.detail)
    if after.status is not status:
        yield WorkflowEntry(seq, status, after.status, after.status.lower(), stamp.at, "system", after.detail)


def _approve_by(before: Workflow, workflow: Workflow, steps: Mapping[str, StepState]) -> datetime | None:
    """The first time limit of the approvals that are awaited then. Looked for only when one comes or goes."""
    waiting = StepStatus.AWAITING_APPROVAL
    if all(waiting not in (state.status, before.step(step_id).status) for step_id, state in steps.items()):
        return before.approve_by
    states = {**workflow.steps, **steps}.values()
    return min((s.approve_by for s in states if s.status is waiting and s.approve_by is not None), default=None)


def apply(workflow: Workflow, made: WorkflowChange) -> Workflow:
    """The workflow after the change; the same as what the store writes. Nothing of it is copied: large graphs are
    laid over, step by step."""
    assert (made.workflow_id, made.seq) == (workflow.id, workflow.seq), "a change belongs to one version"
    return replace(
        workflow,
        status=made.status,
        seq=workflow.seq + 1,
        steps=over(workflow.steps, made.steps),
        items=_items_after(workflow, made),
        counts=made.counts,
        inputs=made.inputs,
        sealed=made.sealed,
        wish=made.wish,
        approve_by=made.approve_by,
        started_at=made.started_at,
        finished_at=made.finished_at,
        history=(*workflow.history, *made.entries),
    )


def over(below: Mapping[K, V], above: Mapping[K, V]) -> Mapping[K, V]:
    """One mapping laid over another; neither is copied."""
    return ChainMap(dict(above), below) if above else below  # type: ignore[arg-type]  # the lower is only read


def _items_after(workflow: Workflow, made: WorkflowChange) -> Mapping[str, Mapping[int, ItemState]]:
    changed: dict[str, dict[int, ItemState]] = {}
    for (step_id, item), state in made.items.items():
        changed.setdefault(step_id, {})[item] = state
    kept = {step_id: of for step_id, of in workflow.items.items() if step_id not in made.forget_items}
    return kept | {step_id: over(kept.get(step_id, {}), of) for step_id, of in changed.items()}


def fresh(state: StepState, **fields: object) -> StepState:
    """The step as it was before it began, in its next run."""
    return replace(FRESH, run=state.run + 1, parameters=state.parameters, **fields)  # type: ignore[arg-type]


def has_own_job(state: StepState) -> bool:
    """Whether its job tells of it, so that nothing else need."""
    jobless = state.never_began or state.error is not None or state.cached_from is not None or state.items is not None
    return not jobless and (state.status is StepStatus.ACTIVE or state.status in ENDED - {StepStatus.SKIPPED})
