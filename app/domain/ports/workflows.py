"""Workflows as protocols: their definitions, their runs, schedules, and what steps may take over from earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.domain.workflows.changes import WorkflowChange
from app.domain.workflows.definition import Definition, PinnedDefinition
from app.domain.workflows.schedules import Schedule
from app.domain.workflows.state import Workflow, WorkflowStatus


@dataclass(frozen=True, slots=True)
class WorkflowQuery:
    """Filters of a listing, newest first. `after`: an id, exclusive."""

    status: frozenset[WorkflowStatus] = frozenset()
    name: str | None = None
    after: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class WorkflowPage:
    """Workflows without their steps and items; `next_after` is the last id when more follow."""

    workflows: tuple[Workflow, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """A version of a definition as it stands in a listing, without its steps."""

    name: str
    version: int
    description: str
    templates: Mapping[str, int]
    created_at: datetime


class DefinitionStore(Protocol):
    """Definitions by name and version. What was stored never changes."""

    async def define(self, definition: Definition, templates: Mapping[str, int], at: datetime) -> PinnedDefinition:
        """The definition at its version: a new one, unless the newest is equal."""

    async def get(self, name: str, version: int | None = None) -> PinnedDefinition | None:
        """That version, else the newest."""

    async def page(self, limit: int, after: str = "") -> list[DefinitionRow]:
        """The newest version of each name beyond `after`, by name."""

    async def versions(self, name: str, limit: int, before: int | None = None) -> list[DefinitionRow]:
        """Versions of one below `before`, the newest first."""


class WorkflowStore(Protocol):
    """Runs of workflows."""

    async def insert(self, workflow: Workflow) -> bool:
        """Durable when it returns. False when the id is taken: by another, or by this one stored before."""

    async def get(self, workflow_id: str) -> Workflow | None: ...

    async def commit(self, change: WorkflowChange) -> bool:
        """Compare-and-set on its `seq`; True where this very change was made."""

    async def find(self, query: WorkflowQuery) -> WorkflowPage: ...

    async def open(self, limit: int, after: str | None = None) -> list[str]:
        """Ids of those that are RUNNING or PAUSED, in order, from beyond `after` on."""

    async def kept(self, workflow_ids: Iterable[str], since: datetime) -> set[str]:
        """Those of these that are not over, or not since before `since`."""

    async def sealed_of(self, workflow_ids: Iterable[str]) -> dict[str, str | None]:
        """The `sealed` of each of these that is there, whatever else of it cannot be read."""

    async def approvals_due(self, now: datetime, limit: int) -> list[str]:
        """Ids of those in which an approval's time is over."""


class ScheduleStore(Protocol):
    """Schedules by name."""

    async def get(self, name: str) -> Schedule | None: ...

    async def page(self, limit: int, after: str = "") -> list[Schedule]:
        """Those beyond this name, by name."""

    async def insert(self, schedule: Schedule) -> bool:
        """False when the name is taken."""

    async def sealed_of(self, names: Iterable[str]) -> dict[str, str | None]:
        """As of workflows."""

    async def delete(self, name: str) -> bool: ...

    async def due(self, now: datetime, limit: int) -> list[Schedule]:
        """Those whose moment has come."""

    async def move_on(self, before: Schedule, after: Schedule) -> bool:
        """Keep what was done; False when its `next_at` is another by now, or it is gone."""


class StepCache(Protocol):
    """Jobs whose outputs may be taken over, by the key of what they were made from."""

    async def find(self, keys: Sequence[str]) -> dict[str, str]:
        """Job ids by key, of those that are known."""

    async def keep(self, key: str, job_id: str, at: datetime) -> None:
        """The newest counts."""
