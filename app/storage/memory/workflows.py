"""Workflows in memory: definitions, runs, schedules, and the cache of steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from app.domain.ports.workflows import DefinitionRow, WorkflowPage, WorkflowQuery
from app.domain.workflows.changes import WorkflowChange, apply
from app.domain.workflows.definition import Definition, PinnedDefinition
from app.domain.workflows.schedules import Schedule
from app.domain.workflows.state import Workflow, WorkflowStatus

OPEN = frozenset({WorkflowStatus.RUNNING, WorkflowStatus.PAUSED})


class MemoryDefinitionStore:
    """`DefinitionStore`."""

    def __init__(self) -> None:
        self._versions: dict[str, list[PinnedDefinition]] = {}

    async def define(self, definition: Definition, templates: Mapping[str, int], at: datetime) -> PinnedDefinition:
        versions = self._versions.setdefault(definition.name, [])
        if versions and versions[-1].definition == definition and versions[-1].templates == templates:
            return versions[-1]
        versions.append(PinnedDefinition(definition, len(versions) + 1, dict(templates), at))
        return versions[-1]

    async def get(self, name: str, version: int | None = None) -> PinnedDefinition | None:
        versions = self._versions.get(name, [])
        if version is None:
            return versions[-1] if versions else None
        return versions[version - 1] if 0 < version <= len(versions) else None

    async def page(self, limit: int, after: str = "") -> list[DefinitionRow]:
        return [_row(self._versions[name][-1]) for name in sorted(self._versions) if name > after][:limit]

    async def versions(self, name: str, limit: int, before: int | None = None) -> list[DefinitionRow]:
        found = reversed(self._versions.get(name, []))
        return [_row(each) for each in found if before is None or each.version < before][:limit]


def _row(pinned: PinnedDefinition) -> DefinitionRow:
    return DefinitionRow(
        pinned.name, pinned.version, pinned.definition.description, pinned.templates, pinned.created_at
    )


class MemoryWorkflowStore:
    """`WorkflowStore`."""

    def __init__(self) -> None:
        self._workflows: dict[str, Workflow] = {}
        self._ops: dict[str, set[str]] = {}

    async def insert(self, workflow: Workflow) -> bool:
        if workflow.id in self._workflows:
            return False
        self._workflows[workflow.id] = workflow
        return True

    async def get(self, workflow_id: str) -> Workflow | None:
        return self._workflows.get(workflow_id)

    async def commit(self, change: WorkflowChange) -> bool:
        present = self._workflows.get(change.workflow_id)
        if present is None or present.seq != change.seq:
            return change.op in self._ops.get(change.workflow_id, ())
        after = apply(present, change)
        items = {step_id: dict(of) for step_id, of in after.items.items()}
        self._workflows[present.id] = replace(after, steps=dict(after.steps), items=items)
        self._ops.setdefault(present.id, set()).add(change.op)
        return True

    async def find(self, query: WorkflowQuery) -> WorkflowPage:
        found = sorted(self._workflows.values(), key=lambda w: (w.submitted_at, w.id), reverse=True)
        found = [w for w in found if not query.status or w.status in query.status]
        found = [w for w in found if query.name is None or w.name == query.name]
        if query.after is not None:
            last = self._workflows.get(query.after)
            place = (last.submitted_at, last.id) if last else None
            found = [w for w in found if place is not None and (w.submitted_at, w.id) < place]
        page = tuple(replace(w, steps={}, items={}) for w in found[: query.limit])
        return WorkflowPage(page, page[-1].id if len(found) > query.limit else None)

    async def open(self, limit: int, after: str | None = None) -> list[str]:
        ids = sorted(w.id for w in self._workflows.values() if w.status in OPEN)
        return [workflow_id for workflow_id in ids if workflow_id > (after or "")][:limit]

    async def kept(self, workflow_ids: Iterable[str], since: datetime) -> set[str]:
        found = [self._workflows[i] for i in workflow_ids if i in self._workflows]
        return {workflow.id for workflow in found if workflow.finished_at is None or workflow.finished_at >= since}

    async def sealed_of(self, workflow_ids: Iterable[str]) -> dict[str, str | None]:
        return {i: self._workflows[i].sealed for i in workflow_ids if i in self._workflows}

    async def approvals_due(self, now: datetime, limit: int) -> list[str]:
        waiting = [w for w in self._workflows.values() if w.status is WorkflowStatus.RUNNING]
        due = sorted((w.approve_by, w.id) for w in waiting if w.approve_by is not None and w.approve_by <= now)
        return [workflow_id for _, workflow_id in due][:limit]


class MemoryScheduleStore:
    """`ScheduleStore`."""

    def __init__(self) -> None:
        self._schedules: dict[str, Schedule] = {}

    async def get(self, name: str) -> Schedule | None:
        return self._schedules.get(name)

    async def page(self, limit: int, after: str = "") -> list[Schedule]:
        return [self._schedules[name] for name in sorted(self._schedules) if name > after][:limit]

    async def insert(self, schedule: Schedule) -> bool:
        return self._schedules.setdefault(schedule.name, schedule) == schedule

    async def sealed_of(self, names: Iterable[str]) -> dict[str, str | None]:
        return {name: self._schedules[name].sealed for name in names if name in self._schedules}

    async def delete(self, name: str) -> bool:
        return self._schedules.pop(name, None) is not None

    async def due(self, now: datetime, limit: int) -> list[Schedule]:
        return [s for _, s in sorted(self._schedules.items()) if s.next_at is not None and s.next_at <= now][:limit]

    async def move_on(self, before: Schedule, after: Schedule) -> bool:
        present = self._schedules.get(before.name)
        if present is None or (present.next_at, present.created_at) != (before.next_at, before.created_at):
            return False
        self._schedules[before.name] = after
        return True


class MemoryStepCache:
    """`StepCache`."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, datetime]] = {}

    async def find(self, keys: Sequence[str]) -> dict[str, str]:
        return {key: self._kept[key][0] for key in keys if key in self._kept}

    async def keep(self, key: str, job_id: str, at: datetime) -> None:
        self._kept[key] = job_id, at
