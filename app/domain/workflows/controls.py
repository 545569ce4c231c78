"""What users do to a run of a workflow. Each takes it as it is and gives a `Draft`, None where it is so already, or
raises Conflict with the state it is in and those it can go to.

A control of the whole is written first (`wish`) and carried to the jobs after; a crash between is found by the wish.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.json import Json, deep_merge
from app.domain.nearest import nearest_name
from app.domain.workflows.changes import Draft, fresh, touched
from app.domain.workflows.definition import PinnedDefinition
from app.domain.workflows.state import (
    OVER,
    UNSUCCESSFUL,
    ItemState,
    StepState,
    StepStatus,
    Workflow,
    WorkflowStatus,
)

_W, _S = WorkflowStatus, StepStatus
ALLOWED: Mapping[WorkflowStatus, tuple[WorkflowStatus, ...]] = {
    _W.PENDING: (_W.RUNNING, _W.CANCELLED),
    _W.RUNNING: (_W.PAUSED, _W.COMPLETED, _W.FAILED, _W.CANCELLED),
    _W.PAUSED: (_W.RUNNING, _W.CANCELLED),
    _W.COMPLETED: (_W.RUNNING,),
    _W.FAILED: (_W.RUNNING,),
    _W.CANCELLED: (_W.RUNNING,),
}
"""From a state to those that can follow; out of the last three only by a retry or a rerun."""


def refuse(workflow: Workflow, because: str) -> Conflict:
    """The error for what cannot be done in this state."""
    message = f"Workflow {workflow.id} is {workflow.status}: {because}."
    return Conflict(message, code="invalid_transition", current=workflow.status, allowed=ALLOWED[workflow.status])


def start(
    workflow: Workflow, pinned: PinnedDefinition, inputs: Mapping[str, Json], at: datetime, sealed: str | None = None
) -> Draft:
    """PENDING → RUNNING with its inputs, which were checked. `sealed`: where those that are secret stand."""
    if workflow.status is not _W.PENDING:
        raise refuse(workflow, "it was started already")
    after = replace(workflow, status=_W.RUNNING, inputs=inputs, started_at=at, sealed=sealed)
    return Draft(after, reason="started", look_at=pinned.graph.order)


def cancel(workflow: Workflow, pinned: PinnedDefinition, detail: str | None) -> Draft | None:
    """No step begins any more; what is active is to be cancelled."""
    if workflow.status is _W.CANCELLED or workflow.cancelling:
        return None
    if workflow.over:
        raise refuse(workflow, "it has ended")
    waiting = {_S.PENDING, _S.AWAITING_APPROVAL}
    steps = {
        step_id: replace(state, status=_S.CANCELLED, approve_by=None, never_began=True)
        for step_id in pinned.graph.order
        if (state := workflow.step(step_id)).status in waiting
    }
    status = _W.RUNNING if workflow.status is _W.PENDING else workflow.status
    after = touched(workflow, steps, status=status, wish="cancel")
    halted = tuple(s for s, state in workflow.steps.items() if state.items and not state.items.active)
    return Draft(after, steps, reason="cancel_requested", detail=detail, look_at=halted)


def pause(workflow: Workflow, detail: str | None) -> Draft | None:
    """RUNNING → PAUSED: no step begins; active jobs are to be paused."""
    if workflow.cancelling:
        raise refuse(workflow, "it is being cancelled")
    if workflow.status is _W.PAUSED:
        return None
    if workflow.status is not _W.RUNNING:
        raise refuse(workflow, "only a running one can be paused")
    return Draft(replace(workflow, status=_W.PAUSED, wish="pause"), reason="paused", detail=detail)


def resume(workflow: Workflow, pinned: PinnedDefinition, detail: str | None) -> Draft | None:
    """PAUSED → RUNNING: paused jobs are to go on, and what became ready meanwhile begins."""
    if workflow.cancelling:
        raise refuse(workflow, "it is being cancelled")
    if workflow.status is _W.RUNNING and workflow.history and workflow.history[-1].reason == "resumed":
        return None
    if workflow.status is not _W.PAUSED:
        raise refuse(workflow, "it is not paused")
    after = replace(workflow, status=_W.RUNNING, wish="resume")
    return Draft(after, reason="resumed", detail=detail, look_at=pinned.graph.order)


def granted(workflow: Workflow) -> Draft | None:
    """The wish is carried through."""
    return Draft(replace(workflow, wish=None)) if workflow.wish in ("pause", "resume") else None


def retry(workflow: Workflow, pinned: PinnedDefinition, detail: str | None) -> Draft:
    """FAILED or CANCELLED → RUNNING: what ended without success is done anew, with what was skipped for it. What
    completed is not run again, items of a `for_each` included."""
    if workflow.status not in (_W.FAILED, _W.CANCELLED):
        done = workflow.status is _W.COMPLETED
        raise refuse(
            workflow, "it completed; use rerun to run steps again" if done else "only one that ended is retried"
        )
    again = _unsuccessful(workflow, pinned)
    steps, items = {s: _again(workflow.step(s)) for s in again}, _again_items(workflow, again)
    after = touched(workflow, steps, status=_W.RUNNING, finished_at=None, wish=None)
    after = replace(after, items=_laid_over(workflow, items))
    return Draft(after, steps, items, reason="retried", detail=detail, look_at=pinned.graph.order)


def _unsuccessful(workflow: Workflow, pinned: PinnedDefinition) -> set[str]:
    """Steps that ended without success, and those that were skipped for it."""
    found = {s for s in pinned.graph.order if workflow.step(s).status in UNSUCCESSFUL}
    below = {child for step_id in found for child in pinned.graph.children[step_id]}
    todo = [s for s in below if workflow.step(s).status is _S.SKIPPED]
    while todo:
        step_id = todo.pop()
        if step_id not in found:
            found.add(step_id)
            todo += [c for c in pinned.graph.children[step_id] if workflow.step(c).status is _S.SKIPPED]
    return found


def _again_items(workflow: Workflow, again: set[str]) -> dict[tuple[str, int], ItemState]:
    return {
        (step_id, n): ItemState(_S.PENDING)
        for step_id in again
        for n, each in workflow.items.get(step_id, {}).items()
        if each.status is not _S.COMPLETED
    }


def _again(state: StepState) -> StepState:
    kept = None
    if state.items is not None:
        kept = replace(state.items, active=0, unsuccessful=0, cursor=0)
    return fresh(state, items=kept)


def _laid_over(workflow: Workflow, items: Mapping[tuple[str, int], ItemState]) -> Mapping[str, Mapping[int, ItemState]]:
    out = {step_id: dict(of) for step_id, of in workflow.items.items()}
    for (step_id, n), state in items.items():
        out.setdefault(step_id, {})[n] = state
    return out


def rerun(
    workflow: Workflow,
    pinned: PinnedDefinition,
    from_step: str,
    parameters: Mapping[str, Json],
    detail: str | None,
    sealed: str | None = None,
) -> Draft:
    """One that has ended → RUNNING: the step, with other parameters, and all below it are done anew; so is, as in a
    retry, what else ended without success. `sealed`: where its secrets stand, when some are others."""
    _refuse_rerun(workflow, pinned, from_step)
    anew = pinned.graph.below(from_step)
    others = _unsuccessful(workflow, pinned) - anew
    steps = {step_id: fresh(workflow.step(step_id)) for step_id in anew}
    steps |= {step_id: _again(workflow.step(step_id)) for step_id in others}
    if parameters:
        changed = deep_merge(workflow.step(from_step).parameters, parameters)
        steps[from_step] = replace(steps[from_step], parameters=changed)
    items = _again_items(workflow, others)
    after = touched(workflow, steps, status=_W.RUNNING, finished_at=None, wish=None)
    after = replace(after, items={s: of for s, of in _laid_over(workflow, items).items() if s not in anew})
    after = replace(after, sealed=sealed or workflow.sealed)
    said = from_step if detail is None else f"{from_step}: {detail}"
    return Draft(after, steps, items, anew, reason="rerun", detail=said, look_at=pinned.graph.order)


def _refuse_rerun(workflow: Workflow, pinned: PinnedDefinition, from_step: str) -> None:
    if workflow.status not in OVER:
        raise refuse(workflow, "only one that ended is run again; cancel it first")
    if from_step not in pinned.steps:
        near = nearest_name(from_step, pinned.steps)
        hint = f"; did you mean {near}?" if near else ""
        raise Invalid.one("from_step", f"unknown step {from_step[:80]}{hint}", nearest=near)


def answer(
    workflow: Workflow, pinned: PinnedDefinition, step_id: str, detail: str | None, *, approved: bool
) -> Draft | None:
    """A step that awaits approval is approved or rejected. The same answer twice is one."""
    if step_id not in pinned.steps:
        raise NotFound("step", step_id[:80], nearest_name(step_id, pinned.steps))
    state = workflow.step(step_id)
    if state.approved if approved else state.status is _S.REJECTED:
        return None
    if state.status is not _S.AWAITING_APPROVAL:
        found = "was approved already" if state.approved else f"is {state.status}, and awaits no approval"
        message = f"Step {step_id} of workflow {workflow.id} {found}."
        raise Conflict(message, current=state.status, allowed=())
    if workflow.status is not _W.RUNNING or workflow.cancelling:
        raise refuse(workflow, "an approval is answered while it runs; resume it first")
    said = "approved" if approved else "rejected"
    text = step_id if detail is None else f"{step_id}: {detail}"
    return Draft(workflow, reason=f"step_{said}", detail=text, approvals={step_id: approved})


def overdue(workflow: Workflow, pinned: PinnedDefinition, now: datetime) -> Draft | None:
    """Approvals whose time is over: their defaults are taken."""
    if workflow.status is not _W.RUNNING or workflow.cancelling:
        return None
    answers = {
        step_id: pinned.steps[step_id].approval.default == "approve"  # type: ignore[union-attr]
        for step_id, state in workflow.steps.items()
        if state.status is _S.AWAITING_APPROVAL and state.approve_by is not None and state.approve_by <= now
    }
    return (
        Draft(workflow, reason="approval_expired", detail=", ".join(answers)[:500], approvals=answers)
        if answers
        else None
    )
