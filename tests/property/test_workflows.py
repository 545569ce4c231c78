"""Random workflows, with crashes between any two writes: every job is made once and runs once, none before its parents
allow it (I7), and what comes out is what comes out without a crash, in whatever order the jobs end.

The use-cases are the real ones, over memory stores that pass the contract of the real ones. A crash ends everything
that is under way; then a new process begins, of which only the keeper knows that there is something to mend.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.expressions import Evaluation, Expression, Fault, Typed, Value
from app.domain.job import DependencyType, Job, JobError
from app.domain.states import JobStatus
from app.domain.transitions import RunEnd, complete, fail, place, start
from app.domain.workflows.advance import Ended, Facts
from app.domain.workflows.changes import Draft
from app.domain.workflows.definition import Definition, StepDefinition
from app.domain.workflows.joins import Join, join
from app.domain.workflows.state import JobRef, StepStatus, Workflow
from app.operations.change import commit_all
from app.operations.workflows.advancing import end_of
from app.operations.workflows.creating import Origin, create
from app.scheduler.workflow_keeper import WorkflowKeeper
from app.services import Services
from app.turns import Turns
from tests.support.clock import FixedClock
from tests.unit.api.harness import FakeHealth, memory_services
from tests.unit.domain.builders import a_job
from tests.unit.workflows.builders import World

WORKFLOW_ID = "wf_property"


class Crash(BaseException):
    """The process is gone."""


class Crashing:
    """A store whose writes may be the last thing that the process does: before it, or after."""

    def __init__(self, store: Any, writes: set[str], world: Cluster) -> None:
        self._store, self._writes, self._world = store, writes, world

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._world.crashing(found) if name in self._writes else found


class Constants:
    """Expressions that are `true`, `false`, or a number of items."""

    async def check(self, wanted: Sequence[Expression], whose: str = "") -> list[Typed | Fault]:
        return [Typed("dyn") for _ in wanted]

    async def evaluate(self, wanted: Sequence[Evaluation], whose: str = "") -> list[Value | Fault]:
        return [Value({"true": True, "false": False}.get(each.expression.text)) for each in wanted]

    async def stop(self) -> None: ...


class Cluster:
    """One process after another over the same stores."""

    def __init__(self, crashes: Mapping[int, bool], outcome: Callable[[Job], str], *, kept: bool = True) -> None:
        self.base = memory_services(FixedClock(), FakeHealth())
        self._crashes, self._outcome, self._kept = crashes, outcome, kept
        self.writes = 0
        self.inserted: list[str] = []
        self.ran: list[str] = []
        self.services = self._process()

    def _process(self) -> Services:
        """A new process: nothing in memory is left but the stores."""
        return replace(
            self.base,
            workflows=Crashing(self.base.workflows, {"commit", "insert"}, self),
            jobs=Crashing(self.base.jobs, {"commit", "insert"}, self),
            queue=Crashing(self.base.queue, {"enqueue"}, self),
            expressions=Constants(),
            workflow_turns=Turns(),
        )

    def crashing(self, write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def run(*arguments: Any, **named: Any) -> Any:
            self.writes += 1
            after = self._crashes.get(self.writes)
            if after is False:
                raise Crash
            result = await write(*arguments, **named)
            if after is True:
                raise Crash
            return result

        return run

    async def survive(self, do: Callable[[], Awaitable[Any]]) -> None:
        """Do it; when the process dies over it, begin a new one."""
        try:
            await do()
        except Crash:
            self.services = self._process()

    async def run(self, definition: Definition, order: Sequence[int]) -> Workflow:
        origin = Origin("default", "tester", WORKFLOW_ID)
        while await self.base.workflows.get(WORKFLOW_ID) is None:
            await self.survive(lambda: create(self.services, definition, 100, origin, start=True))
        for turn in range(100):
            workflow = await self.base.workflows.get(WORKFLOW_ID)
            assert workflow is not None
            if workflow.over:
                return workflow
            await self._check_that_children_may_run(definition)
            waiting = sorted((j for j in self.base.jobs._jobs.values() if not j.terminal), key=lambda j: j.id)
            if waiting:
                job = waiting[order[turn % len(order)] % len(waiting)]
                await self.survive(lambda job=job: self._work(job))
            if self._kept:
                await self.survive(WorkflowKeeper(self.services).run_once)
        raise AssertionError("it never ends")

    async def _work(self, job: Job) -> None:
        """A worker: place, start, run, end; it takes a job up where an earlier process left it."""
        services = self.services
        steps = {
            JobStatus.QUEUED: lambda j: place(j, "n1", (), services.stamp()),
            JobStatus.SCHEDULED: lambda j: start(j, services.stamp()),
            JobStatus.RUNNING: self._end,
        }
        while not job.terminal:
            if job.status is JobStatus.RUNNING:
                self.ran.append(job.id)
            [after] = await commit_all(services, [(job, steps[job.status](job))])
            assert after is not None
            job = after

    def _end(self, job: Job) -> Any:
        if self._outcome(job) == "FAILED":
            return fail(job, "error", RunEnd(error=JobError("error", "no")), self.services.stamp())
        return complete(job, RunEnd(result={"metrics": {}, "steps": {}}), self.services.stamp())

    async def _check_that_children_may_run(self, definition: Definition) -> None:
        """I7: no job is there before the ends of its parents' jobs allow it."""
        workflow = await self.base.workflows.get(WORKFLOW_ID)
        pinned = await self.base.definitions.get(definition.name)
        assert workflow is not None and pinned is not None
        for job in self.base.jobs._jobs.values():
            parents = pinned.graph.parents[job.step_id or ""]
            states = {parent: workflow.step(parent).status for parent in parents}
            assert join(pinned.graph.types[job.step_id or ""], states) is Join.MET, (job.step_id, states)


def step_ids(count: int) -> list[str]:
    return [f"s{n}" for n in range(count)]


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Up to seven steps, each after some of those before it."""
    steps = []
    for n, step_id in enumerate(step_ids(draw(st.integers(1, 7)))):
        parents = draw(st.lists(st.sampled_from(step_ids(n)), unique=True, max_size=3)) if n else []
        items = draw(st.none() | st.lists(st.integers(0, 9), max_size=3))
        steps.append(
            StepDefinition(
                step_id,
                "noop",
                depends_on=tuple(parents),
                dependency_type=draw(st.sampled_from(DependencyType)) if parents else DependencyType.ALL_COMPLETE,
                when=draw(st.sampled_from([None, None, "true", "false"])),
                for_each=None if items is None else tuple(items),
                max_parallel=None if items is None else draw(st.none() | st.integers(1, 2)),
                on_failure=draw(st.sampled_from(["fail", "continue"])),
            )
        )
    return Definition("random", tuple(steps))


def fate(seed: int) -> Callable[[Job], str]:
    """Some jobs fail, always the same."""
    return lambda job: "FAILED" if chance(seed, job.step_id, job.step_item) else "COMPLETED"


def chance(*parts: object) -> bool:
    return crc32(repr(parts).encode()) % 3 == 0


def result(workflow: Workflow, definition: Definition) -> dict[str, Any]:
    found = {s.step_id: (workflow.step(s.step_id).status, workflow.step(s.step_id).because) for s in definition.steps}
    return {"": workflow.status, **found}


async def carried_through(
    definition: Definition, seed: int, order: Sequence[int], crashes: Mapping[int, bool]
) -> tuple[dict[str, Any], Cluster]:
    cluster = Cluster(crashes, fate(seed))
    return result(await cluster.run(definition, order), definition), cluster


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    definition=definitions(),
    seed=st.integers(0, 1000),
    order=st.lists(st.integers(0, 20), min_size=1, max_size=20),
    crashes=st.dictionaries(st.integers(1, 60), st.booleans(), max_size=12),
)
def test_crashes_between_any_two_writes_change_nothing(
    definition: Definition, seed: int, order: list[int], crashes: dict[int, bool]
) -> None:
    with_crashes, cluster = asyncio.run(carried_through(definition, seed, order, crashes))
    without, clean = asyncio.run(carried_through(definition, seed, [0], {}))
    assert with_crashes == without
    assert sorted(cluster.base.jobs._jobs) == sorted(clean.base.jobs._jobs), "each job is made, and no other"
    assert set(cluster.ran) == set(clean.ran)
    assert len(clean.ran) == len(set(clean.ran)), "each runs once"


@settings(max_examples=100, deadline=None)
@given(definition=definitions(), seed=st.integers(0, 1000), order=st.lists(st.integers(0, 50), max_size=30))
def test_the_order_of_ends_does_not_matter(definition: Definition, seed: int, order: list[int]) -> None:
    """Pure: the same ends in any order, and told twice, lead to the same states."""
    facts = {s.step_id: Facts(when=s.when != "false") for s in definition.steps if s.when is not None}

    def outcome(ref: JobRef) -> str:
        return "FAILED" if chance(seed, ref.step_id, ref.item) else "COMPLETED"

    first, other = World(*definition.steps, facts=facts).start(), World(*definition.steps, facts=facts).start()
    first.run(outcome)
    other.run(outcome, order)
    for ref in list(other.released):
        other.make(Draft(other.workflow, ended=(Ended(ref, StepStatus.COMPLETED),)))
    assert (first.states, first.reasons, first.status) == (other.states, other.reasons, other.status)
    assert sorted(map(str, first.released)) == sorted(map(str, other.released))
    assert len(set(other.released)) == len(other.released)


DIAMOND = Definition(
    "diamond",
    (
        StepDefinition("a", "noop"),
        StepDefinition("b", "noop", depends_on=("a",)),
        StepDefinition("c", "noop", depends_on=("a",), for_each=(1, 2)),
        StepDefinition("d", "noop", depends_on=("b", "c")),
    ),
)


async def ends(*, kept: bool) -> dict[tuple[int, bool], bool]:
    """For a crash at each write of a diamond, before and after it: whether the workflow ends all the same."""
    clean = Cluster({}, lambda _: "COMPLETED")
    await clean.run(DIAMOND, [0])
    found = {}
    for crash in ((n, after) for n in range(1, clean.writes + 1) for after in (False, True)):
        cluster = Cluster(dict([crash]), lambda _: "COMPLETED", kept=kept)
        try:
            done = await cluster.run(DIAMOND, [0])
        except AssertionError:
            found[crash] = False
            continue
        assert sorted(cluster.base.jobs._jobs) == sorted(clean.base.jobs._jobs)
        found[crash] = done.status.value == "COMPLETED"
    return found


async def test_a_crash_at_any_write_of_a_diamond_releases_each_child_once() -> None:
    found = await ends(kept=True)
    assert len(found) > 40 and all(found.values()), found


async def test_without_the_keeper_such_a_crash_strands_the_workflow() -> None:
    found = await ends(kept=False)
    assert sum(not ended for ended in found.values()) >= 5, found


def test_an_end_belongs_to_the_run_whose_id_its_job_has() -> None:
    ref = JobRef("a", 3, 2)
    done = a_job().completed().job
    job = replace(done, id=ref.job_id("wf_1"), workflow_id="wf_1", step_id="a", step_item=3)
    assert end_of(job) == Ended(ref, StepStatus.COMPLETED)
