"""Workflows and schedules as they are answered. Pure. Every field is always there, null where it is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.api.cursors import cursor
from app.api.history_views import entry_view
from app.domain.job import Job
from app.domain.json import Json
from app.domain.timestamps import optional_rfc3339 as moment
from app.domain.timestamps import rfc3339
from app.domain.workflows.definition import PinnedDefinition
from app.domain.workflows.pages import items_shown
from app.domain.workflows.schedules import Schedule
from app.domain.workflows.state import (
    ItemState,
    StepError,
    StepState,
    StepStatus,
    Workflow,
)
from app.operations.workflows.inspecting import WorkflowView
from app.operations.workflows.outputs import outputs_in, source_of, sources

View = dict[str, Any]
_HAD_NO_JOB = frozenset({StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.AWAITING_APPROVAL, StepStatus.REJECTED})


def workflow_summary(workflow: Workflow) -> View:
    """A run as it stands in a listing."""
    return {
        "workflow_id": workflow.id,
        "workflow_name": workflow.name,
        "version": workflow.version,
        "tenant": workflow.tenant,
        "status": workflow.status,
        "seq": workflow.seq,
        "inputs": workflow.inputs,
        "counts": workflow.counts,
        "wish": workflow.wish,
        "schedule": workflow.schedule,
        "submitted_at": rfc3339(workflow.submitted_at),
        "started_at": moment(workflow.started_at),
        "finished_at": moment(workflow.finished_at),
    }


def workflow_view(view: WorkflowView) -> View:
    """The run with the steps that are shown, in the order of the definition."""
    workflow = view.workflow
    outputs = {step_id: _outputs(view, step_id) for step_id in view.last}
    return {
        **workflow_summary(workflow),
        "description": view.pinned.definition.description,
        "outputs": {step_id: each for step_id, each in outputs.items() if each is not None},
        **steps_view(view),
        "history": [entry_view(entry) for entry in workflow.history],
    }


def steps_view(view: WorkflowView) -> View:
    """The steps that are shown, and where those that follow begin."""
    following = None if view.following is None else cursor(f"steps:{view.workflow.id}", f"{view.following}")
    return {"steps": [_step(view, step_id) for step_id in view.steps], "next_cursor": following}


def _step(view: WorkflowView, step_id: str) -> View:
    workflow = view.workflow
    state = workflow.step(step_id)
    job_id = _job_of(workflow.id, step_id, state)
    job = view.jobs.get(job_id or "")
    return {
        "step_id": step_id,
        "status": status_of(state.status, job, many=state.items is not None),
        "job_id": job_id,
        "outputs": _outputs(view, step_id),
        "error": _error(state.error, job, state.status),
        "skipped_because": state.because,
        "cached_from": state.cached_from,
        "approval": _approval(view.pinned, step_id, state),
        "run": state.run,
        "item_counts": _item_counts(state),
        "items": None if state.items is None else _items(view, step_id, items_shown(state)),
    }


def _job_of(workflow_id: str, step_id: str, state: StepState) -> str | None:
    if state.items is not None or state.status in _HAD_NO_JOB:
        return None
    if state.error is not None or state.never_began:
        return None
    return source_of(workflow_id, step_id, state)


def status_of(status: StepStatus, job: Job | None, *, many: bool) -> str:
    """The state of a step as people know it: while it is ACTIVE, that of its job."""
    if status is not StepStatus.ACTIVE:
        return status.value
    if many:
        return "RUNNING"
    return "SUBMITTED" if job is None else job.status.value


def _outputs(view: WorkflowView, step_id: str) -> Json:
    """Of a step over many items, those of the items that are shown with it."""
    state = view.workflow.step(step_id)
    if state.status is not StepStatus.COMPLETED and state.items is None:
        return None
    return outputs_in(view.workflow, step_id, sources(view.workflow, step_id, items_shown(state)), view.jobs)


def _error(error: StepError | None, job: Job | None, status: StepStatus) -> View | None:
    if error is not None:
        return {"code": error.code, "message": error.message}
    if job is None or job.error is None or status is StepStatus.COMPLETED:
        return None
    return {"code": job.error.code, "message": job.error.message}


def _approval(pinned: PinnedDefinition, step_id: str, state: StepState) -> View | None:
    approval = pinned.steps[step_id].approval
    if approval is None or state.status is not StepStatus.AWAITING_APPROVAL:
        return None
    return {"message": approval.message, "approve_by": moment(state.approve_by), "default": approval.default}


def items_view(view: WorkflowView, step_id: str, shown: range) -> View:
    """These items of a step, each with what it has put out, and where those that follow begin."""
    state = view.workflow.step(step_id)
    outputs = outputs_in(view.workflow, step_id, sources(view.workflow, step_id, shown), view.jobs)
    total = 0 if state.items is None else state.items.total
    items = (
        [{**item, "outputs": of} for item, of in zip(_items(view, step_id, shown), outputs, strict=True)]
        if shown
        else []
    )
    following = cursor(f"items:{view.workflow.id}/{step_id}", f"{shown.stop}") if shown.stop < total else None
    return {"step_id": step_id, "item_counts": _item_counts(state), "items": items, "next_cursor": following}


def _items(view: WorkflowView, step_id: str, shown: range) -> list[View]:
    known = view.workflow.items.get(step_id, {})
    return [_item(view, step_id, n, known.get(n)) for n in shown]


def _item_counts(state: StepState) -> View | None:
    if state.items is None:
        return None
    counts = state.items
    return {
        "total": counts.total, "active": counts.active, "completed": counts.completed,
        "unsuccessful": counts.unsuccessful,
    }  # fmt: skip


def _item(view: WorkflowView, step_id: str, n: int, state: ItemState | None) -> View:
    if state is None or state.status is StepStatus.PENDING:
        return {"item": n, "status": StepStatus.PENDING, "job_id": None, "cached_from": None, "error": None}
    job_id = None if state.error is not None else source_of(view.workflow.id, step_id, state, n)
    job = view.jobs.get(job_id or "")
    return {
        "item": n,
        "status": status_of(state.status, job, many=False),
        "job_id": None if state.cached_from else job_id,
        "cached_from": state.cached_from,
        "error": _error(state.error, job, state.status),
    }


def graph_view(view: WorkflowView) -> View:
    """The run as a graph: a column for each distance from the beginning, places ordered by those of the parents."""
    graph, workflow = view.pinned.graph, view.workflow
    lanes = _lanes(view.pinned)
    return {
        "workflow_id": workflow.id,
        "status": workflow.status,
        "nodes": [_node(view, step_id, lanes) for step_id in view.pinned.steps],
        "edges": [
            {"from": parent, "to": step_id, "kind": _kind(view.pinned, parent, step_id)}
            for step_id in view.pinned.steps
            for parent in graph.parents[step_id]
        ],
        "layout": {"levels": max(graph.levels.values()) + 1, "lanes": max(lanes.values()) + 1},
    }


def _lanes(pinned: PinnedDefinition) -> Mapping[str, int]:
    """Places in the columns: near the middle of the parents', so that few edges cross."""
    graph = pinned.graph
    columns: dict[int, list[str]] = {}
    for step_id in pinned.steps:
        columns.setdefault(graph.levels[step_id], []).append(step_id)
    lanes: dict[str, int] = {}
    for level in sorted(columns):
        column = columns[level]
        middle = {s: sum(lanes[p] for p in graph.parents[s]) / max(1, len(graph.parents[s])) for s in column}
        lanes |= {step_id: n for n, step_id in enumerate(sorted(column, key=lambda s: middle[s]))}
    return lanes


def _kind(pinned: PinnedDefinition, parent: str, step_id: str) -> str:
    return "on_failure" if pinned.steps[parent].handler == step_id else "dependency"


def _node(view: WorkflowView, step_id: str, lanes: Mapping[str, int]) -> View:
    step, state = view.pinned.steps[step_id], view.workflow.step(step_id)
    job_id = _job_of(view.workflow.id, step_id, state)
    return {
        "step_id": step_id,
        "job_template": step.job_template,
        "status": status_of(state.status, view.jobs.get(job_id or ""), many=state.items is not None),
        "job_id": job_id,
        "dependency_type": view.pinned.graph.types[step_id],
        "level": view.pinned.graph.levels[step_id],
        "lane": lanes[step_id],
        "condition": step.when,
        "items": _item_counts(state),
        "skipped_because": state.because,
        "awaits_approval": state.status is StepStatus.AWAITING_APPROVAL,
    }  # fmt: skip


def validated_view(pinned: PinnedDefinition) -> View:
    """What would be stored."""
    return {
        "valid": True,
        "workflow_name": pinned.name,
        "steps": len(pinned.steps),
        "order": pinned.graph.order,
        "templates": pinned.templates,
    }


def schedule_view(schedule: Schedule) -> View:
    """A schedule."""
    return {
        "name": schedule.name,
        "workflow_name": schedule.workflow_name,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "missed": schedule.missed,
        "inputs": schedule.inputs,
        "created_at": rfc3339(schedule.created_at),
        "next_at": moment(schedule.next_at),
        "last_at": moment(schedule.last_at),
        "last_workflow_id": schedule.last_workflow_id,
        "last_error": schedule.last_error,
    }
