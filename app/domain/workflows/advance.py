"""Advance: what follows in a workflow from what has ended. Pure, and incremental: it looks at the steps that ended and
at those below them, however large the graph is.

(graph, workflow, what ended, what was evaluated) → a change, the jobs that it asks for, and the steps of which an
expression must be evaluated first. Those are asked again with `Facts`. The same ends in any order, told any number of
times, lead to the same states: each end counts once, since only an ACTIVE step of that run can end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from app.domain.expressions import Fault
from app.domain.workflows.bounds import MAX_ITEMS, MAX_NODES
from app.domain.workflows.definition import CONTINUE, PinnedDefinition, StepDefinition
from app.domain.workflows.joins import Join, join, settles
from app.domain.workflows.state import (
    ENDED,
    UNSUCCESSFUL,
    ItemCounts,
    ItemState,
    JobRef,
    StepError,
    StepState,
    StepStatus,
    Workflow,
    WorkflowStatus,
)

NOBODY: Mapping[str, bool] = MappingProxyType({})
MOST_NAMED = 3
"""Steps that are named as the cause of a workflow's end."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A job of a workflow that has ended, or that could not be made (`error`), or need not run (`cached_from`)."""

    ref: JobRef
    status: StepStatus
    error: StepError | None = None
    cached_from: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the expressions of a step gave: whether it runs, over how many items."""

    when: bool | Fault = True
    items: int | Fault | None = None


@dataclass(slots=True)
class Advance:
    """The result. `asks`: steps of which facts are needed before anything more can be said of them. `detail`: for whose
    end the workflow is FAILED."""

    status: WorkflowStatus
    counts: dict[str, int]
    steps: dict[str, StepState] = field(default_factory=dict)
    items: dict[tuple[str, int], ItemState] = field(default_factory=dict)
    release: list[JobRef] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)
    forget: set[str] = field(default_factory=set)
    detail: str | None = None

    @property
    def changed(self) -> bool:
        return bool(self.steps or self.items)


def advance(
    pinned: PinnedDefinition,
    workflow: Workflow,
    ended: Iterable[Ended],
    facts: Mapping[str, Facts],
    now: datetime,
    *,
    approvals: Mapping[str, bool] = NOBODY,
    look_at: Iterable[str] = (),
) -> Advance:
    """What follows. `approvals`: steps that were approved or rejected. `look_at`: steps to be considered beside the
    children of what ended; after a control, all."""
    walk = _Walk(pinned, workflow, facts, now)
    for each in ended:
        walk.end(each)
    for step_id, approved in approvals.items():
        walk.answer(step_id, approved=approved)
    walk.queue.extend((step_id, None) for step_id in look_at)
    walk.run()
    return walk.result


class _Walk:
    """One advance under way: the states as they become, over those of the workflow."""

    def __init__(self, pinned: PinnedDefinition, workflow: Workflow, facts: Mapping[str, Facts], now: datetime) -> None:
        self._pinned, self._graph, self._workflow = pinned, pinned.graph, workflow
        self._facts, self._now = facts, now
        self._begins = workflow.status is WorkflowStatus.RUNNING and not workflow.cancelling
        self.queue: deque[tuple[str, StepStatus | None]] = deque()
        self.result = Advance(workflow.status, dict(workflow.counts))

    def run(self) -> None:
        """Until nothing more follows."""
        while self.queue and (self._begins or self._workflow.cancelling):
            self._consider(*self.queue.popleft())
        self._conclude()

    def end(self, ended: Ended) -> None:
        """Take note of an end; one that is not awaited any more means nothing."""
        state = self._state(ended.ref.step_id)
        if state.status is not StepStatus.ACTIVE:
            return
        if ended.ref.item is not None:
            self._end_item(ended, state)
        elif state.items is None and state.run == ended.ref.run:
            self._set(ended.ref.step_id, state, ended.status, error=ended.error, cached_from=ended.cached_from)

    def _end_item(self, ended: Ended, state: StepState) -> None:
        step_id, item, run = ended.ref
        assert item is not None
        present = self.result.items.get((step_id, item)) or self._workflow.item(step_id, item)
        if state.items is None or present is None or present.status is not StepStatus.ACTIVE or present.run != run:
            return
        self.result.items[step_id, item] = ItemState(ended.status, run, ended.error, ended.cached_from)
        good = ended.status is StepStatus.COMPLETED
        counts = replace(
            state.items,
            active=state.items.active - 1,
            completed=state.items.completed + good,
            unsuccessful=state.items.unsuccessful + (not good),
        )
        self._go_on(step_id, replace(state, items=counts))

    def answer(self, step_id: str, *, approved: bool) -> None:
        """Take note of an approval or a rejection; one that is not awaited any more means nothing."""
        state = self._state(step_id)
        if state.status is not StepStatus.AWAITING_APPROVAL:
            return
        if approved:
            self._open(self._pinned.steps[step_id], replace(state, approved=True))
        else:
            self._set(step_id, state, StepStatus.REJECTED)

    def _go_on(self, step_id: str, state: StepState) -> None:
        """The next items of a step; its end when there are none."""
        assert state.items is not None
        counts = state.items
        if counts.pending and self._begins:
            counts = self._release_items(step_id, state, counts)
        elif not counts.active and (not counts.pending or self._workflow.cancelling):
            self._set(step_id, state, self._end_of_items(step_id, counts), items=counts)
            return
        if counts != self._state(step_id).items:
            self._put(step_id, replace(state, items=counts))

    def _end_of_items(self, step_id: str, counts: ItemCounts) -> StepStatus:
        """COMPLETED when all are; else CANCELLED when nothing worse happened."""
        if counts.completed == counts.total:
            return StepStatus.COMPLETED
        stored = {} if step_id in self.result.forget else self._workflow.items.get(step_id, {})
        ends = {each.status for each in stored.values()}
        ends |= {each.status for (step, _), each in self.result.items.items() if step == step_id}
        return StepStatus.FAILED if ends & {StepStatus.FAILED, StepStatus.TIMEOUT} else StepStatus.CANCELLED

    def _release_items(self, step_id: str, state: StepState, counts: ItemCounts) -> ItemCounts:
        most = self._pinned.steps[step_id].max_parallel or counts.total
        cursor, active = counts.cursor, counts.active
        while cursor < counts.total and active < most:
            if self._is_pending(step_id, cursor):
                self.result.items[step_id, cursor] = ItemState(StepStatus.ACTIVE, state.run)
                self.result.release.append(JobRef(step_id, cursor, state.run))
                active += 1
            cursor += 1
        return replace(counts, active=active, cursor=cursor)

    def _is_pending(self, step_id: str, item: int) -> bool:
        if (step_id, item) in self.result.items:
            return False
        stored = None if step_id in self.result.forget else self._workflow.item(step_id, item)
        return stored is None or stored.status is StepStatus.PENDING

    def _state(self, step_id: str) -> StepState:
        return self.result.steps.get(step_id) or self._workflow.step(step_id)

    def _consider(self, step_id: str, parent: StepStatus | None) -> None:
        """A step, after a parent of it ended so; None: after whatever has been before."""
        state = self._state(step_id)
        if state.status is StepStatus.ACTIVE and state.items is not None:
            self._go_on(step_id, state)
        elif state.status is StepStatus.PENDING and self._begins:
            verdict = self._verdict(step_id, parent)
            if verdict is Join.MET:
                self._open(self._pinned.steps[step_id], state)
            elif verdict is not Join.WAITS:
                self._set(step_id, state, StepStatus.SKIPPED, because=verdict.value)

    def _verdict(self, step_id: str, parent: StepStatus | None) -> Join:
        """A join of thousands is not judged for each of them: one that settles nothing waits for any that is open."""
        kind, parents = self._graph.types[step_id], self._graph.parents[step_id]
        if parent is not None and not settles(kind, parent) and any(not self._state(p).ended for p in parents):
            return Join.WAITS
        return join(kind, {p: self._state(p).status for p in parents})

    def _open(self, step: StepDefinition, state: StepState) -> None:
        """Its parents allow it: a condition, an approval, then its jobs."""
        facts = self._facts.get(step.step_id) if step.asks_before else Facts()
        if facts is None:
            self.result.asks.append(step.step_id)
        elif isinstance(facts.when, Fault) and not state.approved:
            self._fail(step, state, "bad_condition", facts.when.message)
        elif not facts.when and not state.approved:
            self._set(step.step_id, state, StepStatus.SKIPPED, because="condition_false")
        elif step.approval is not None and not state.approved:
            seconds = step.approval.timeout
            due = None if seconds is None else self._now + timedelta(seconds=seconds)
            self._set(step.step_id, state, StepStatus.AWAITING_APPROVAL, approve_by=due)
        elif step.for_each is None:
            self._set(step.step_id, state, StepStatus.ACTIVE)
            self.result.release.append(JobRef(step.step_id, None, state.run))
        else:
            self._fan_out(step, state, facts)

    def _fan_out(self, step: StepDefinition, state: StepState, facts: Facts) -> None:
        found = len(step.for_each) if isinstance(step.for_each, tuple) else facts.items
        if not isinstance(found, int):
            message = found.message if found is not None else "it gives no list"
            self._fail(step, state, "bad_for_each", message)
        elif found > min(MAX_ITEMS, self._room()):
            room = min(MAX_ITEMS, self._room())
            self._fail(step, state, "too_many_items", f"for_each gives {found:,} items; there is room for {room:,}")
        else:
            counts = self._release_items(step.step_id, state, self._kept(step.step_id, state, found))
            status = StepStatus.ACTIVE if counts.active else StepStatus.COMPLETED
            self._set(step.step_id, state, status, items=counts)

    def _kept(self, step_id: str, state: StepState, found: int) -> ItemCounts:
        """Items that completed before a retry stay so; they are others when there are more or fewer of them now."""
        if state.items is not None and state.items.total == found:
            return replace(state.items, cursor=0)
        self.result.forget.add(step_id)
        return ItemCounts(found)

    def _room(self) -> int:
        """Items that the whole workflow may still get."""
        steps = {**self._workflow.steps, **self.result.steps}
        return MAX_NODES - len(self._graph.order) - sum(s.items.total for s in steps.values() if s.items)

    def _fail(self, step: StepDefinition, state: StepState, code: str, message: str) -> None:
        self._set(step.step_id, state, StepStatus.FAILED, error=StepError(code, message))

    def _set(self, step_id: str, state: StepState, status: StepStatus, **fields: Any) -> None:
        """Move a step on; when that is its end, its children are to be considered."""
        counts = self.result.counts
        counts[state.status] = counts.get(state.status, 0) - 1
        counts[status] = counts.get(status, 0) + 1
        cleared: dict[str, Any] = {"approve_by": None} | fields
        self._put(step_id, replace(state, status=status, **cleared))
        if status in ENDED:
            self.queue.extend((child, status) for child in self._graph.children[step_id])

    def _put(self, step_id: str, state: StepState) -> None:
        self.result.steps[step_id] = state

    def _conclude(self) -> None:
        """The end of the workflow, when every step has ended."""
        counts = self.result.counts
        over = sum(counts.get(status, 0) for status in ENDED)
        if over < len(self._graph.order) or self._workflow.over or self._workflow.status is WorkflowStatus.PENDING:
            return
        if self._workflow.cancelling:
            self.result.status = WorkflowStatus.CANCELLED
        else:
            held = self._held()
            self.result.status = WorkflowStatus.FAILED if held else WorkflowStatus.COMPLETED
            self.result.detail = ", ".join(f"step {s} ended {self._state(s).status}" for s in held[:MOST_NAMED]) or None

    def _held(self) -> list[str]:
        """The steps that ended without success and were not to be passed over, as they are defined."""
        if not any(self.result.counts.get(status) for status in UNSUCCESSFUL):
            return []
        return [
            step_id
            for step_id, step in self._pinned.steps.items()
            if self._state(step_id).status in UNSUCCESSFUL and step.on_failure != CONTINUE
        ]
