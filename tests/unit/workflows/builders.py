"""Workflows for tests of the domain, and a world in which their jobs end as it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.job import DependencyType
from app.domain.transitions import Stamp
from app.domain.workflows.advance import Ended, Facts, advance
from app.domain.workflows.changes import Draft, apply, change
from app.domain.workflows.controls import start
from app.domain.workflows.definition import Definition, PinnedDefinition, StepDefinition
from app.domain.workflows.state import JobRef, StepStatus, Workflow, WorkflowStatus

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def step(step_id: str, *depends_on: str, **fields: Any) -> StepDefinition:
    kind = DependencyType(fields.pop("dependency_type", "all_complete"))
    template = fields.pop("job_template", "noop")
    return StepDefinition(step_id, template, depends_on=depends_on, dependency_type=kind, **fields)


def pinned(*steps: StepDefinition, **fields: Any) -> PinnedDefinition:
    templates = {each.job_template: 1 for each in steps}
    return PinnedDefinition(Definition("test", steps, **fields), 1, templates, NOW)


def new(definition: PinnedDefinition) -> Workflow:
    counts = {StepStatus.PENDING.value: len(definition.steps)}
    return Workflow("wf_test", "test", 1, "default", WorkflowStatus.PENDING, 1, NOW, counts=counts)


class World:
    """A workflow with its jobs: what was released, and what a control makes of it."""

    def __init__(self, *steps: StepDefinition, facts: Mapping[str, Facts] | None = None) -> None:
        self.pinned = pinned(*steps)
        self.workflow = new(self.pinned)
        self.facts = dict(facts or {})
        self.released: list[JobRef] = []
        self.open: list[JobRef] = []
        self.asked: list[str] = []
        self.now = NOW
        self._ops = 0

    def start(self) -> World:
        self.make(start(self.workflow, self.pinned, {}, self.now))
        return self

    def make(self, draft: Draft | None) -> list[JobRef]:
        """Write what a control and advance make of it; the jobs that begin."""
        if draft is None:
            return []
        after = advance(
            self.pinned, draft.workflow, draft.ended, self.facts, self.now,
            approvals=draft.approvals, look_at=draft.look_at,
        )  # fmt: skip
        self.asked += after.asks
        self._ops += 1
        made = change(self.workflow, draft, after, Stamp(self.now, "tester", f"op{self._ops}"))
        if made is not None:
            self.workflow = apply(self.workflow, made)
            self.released += after.release
            self.open += after.release
        return after.release

    def end(self, *ends: tuple[str, str], item: int | None = None) -> list[JobRef]:
        """Have the jobs of these steps end so, all in one write."""
        out = []
        for step_id, status in ends:
            ref = next(r for r in self.open if (r.step_id, r.item) == (step_id, item))
            self.open.remove(ref)
            out.append(Ended(ref, StepStatus(status)))
        return self.make(Draft(self.workflow, ended=tuple(out)))

    def run(self, outcome: Callable[[JobRef], str], order: Iterable[int] | None = None) -> World:
        """Have open jobs end until none is open; `order` chooses which, by remainder."""
        choices = iter(order or ())
        while self.open:
            ref = self.open.pop(next(choices, 0) % len(self.open))
            self.make(Draft(self.workflow, ended=(Ended(ref, StepStatus(outcome(ref))),)))
        return self

    def later(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    @property
    def states(self) -> dict[str, str]:
        return {step_id: self.workflow.step(step_id).status.value for step_id in self.pinned.steps}

    @property
    def reasons(self) -> dict[str, str | None]:
        return {s: r for s in self.pinned.steps if (r := self.workflow.step(s).because) is not None}

    @property
    def status(self) -> str:
        return self.workflow.status.value
