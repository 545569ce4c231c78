"""Workflows, definitions, schedules and the step cache: the same over both drivers and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.job import DependencyType
from app.domain.ports import DefinitionStore, ScheduleStore, StepCache, WorkflowQuery, WorkflowStore
from app.domain.priority import Priority
from app.domain.transitions import Stamp
from app.domain.workflows.advance import Ended, advance
from app.domain.workflows.changes import Draft, WorkflowChange, apply, change
from app.domain.workflows.controls import cancel, rerun, retry, start
from app.domain.workflows.definition import Approval, Definition, InputDefinition, StepDefinition
from app.domain.workflows.schedules import Schedule
from app.domain.workflows.state import JobRef, StepError, StepStatus, Workflow, WorkflowStatus
from app.storage.indexes import INDEXES, ensure_indexes
from app.storage.memory.workflows import (
    MemoryDefinitionStore,
    MemoryScheduleStore,
    MemoryStepCache,
    MemoryWorkflowStore,
)
from app.storage.mongo import Database, connect
from app.storage.workflow_documents import definition_json
from app.storage.workflows import MongoDefinitionStore, MongoScheduleStore, MongoStepCache, MongoWorkflowStore
from tests.contract.conftest import DRIVERS
from tests.support.drivers import AFTER, BEFORE, LosingCollection
from tests.unit.workflows.builders import new, pinned, step

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stores:
    """Empty at the beginning of a test. `mongo` is None in memory."""

    workflows: WorkflowStore
    definitions: DefinitionStore
    schedules: ScheduleStore
    cache: StepCache
    mongo: Database | None = None


@pytest.fixture(params=(*DRIVERS, "memory"))
async def stores(request: pytest.FixtureRequest, mongo_uri: str, database: str) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield Stores(MemoryWorkflowStore(), MemoryDefinitionStore(), MemoryScheduleStore(), MemoryStepCache())
        return
    handle = connect(mongo_uri, database, driver=request.param)
    await ensure_indexes(handle, {name: INDEXES[name] for name in ("workflows", "workflow_definitions", "schedules")})
    yield Stores(
        MongoWorkflowStore(handle),
        MongoDefinitionStore(handle),
        MongoScheduleStore(handle),
        MongoStepCache(handle),
        handle,
    )
    await handle.close()


PINNED = pinned(
    step("a"),
    step("f", "a", for_each=("x", "y", "z"), max_parallel=2),
    step("ask", "a", approval=Approval("sure?", 60)),
    step("j", "f", "ask"),
)
_ops = iter(range(10_000))


def made(workflow: Workflow, draft: Draft | None) -> WorkflowChange:
    assert draft is not None
    after = advance(PINNED, draft.workflow, draft.ended, {}, NOW, look_at=draft.look_at, approvals=draft.approvals)
    found = change(workflow, draft, after, Stamp(NOW, "tester", f"op{next(_ops)}"))
    assert found is not None
    return found


def ended(workflow: Workflow, *refs: tuple[str, int | None], status: str = "COMPLETED", **how: Any) -> WorkflowChange:
    ends = tuple(
        Ended(JobRef(step_id, item, workflow.step(step_id).run), StepStatus(status), **how) for step_id, item in refs
    )
    return made(workflow, Draft(workflow, ended=ends))


def plain(workflow: Workflow | None) -> Workflow:
    """As a value that can be compared: lazily read parts become dictionaries."""
    assert workflow is not None
    items = {step_id: dict(of) for step_id, of in workflow.items.items() if of}
    return replace(workflow, steps=dict(workflow.steps), items=items, counts=dict(workflow.counts))


async def begun(stores: Stores) -> Workflow:
    workflow = new(PINNED)
    assert await stores.workflows.insert(workflow)
    return await committed(stores, workflow, made(workflow, start(workflow, PINNED, {"n": 1}, NOW, "wf_test-1")))


async def committed(stores: Stores, workflow: Workflow, wanted: WorkflowChange) -> Workflow:
    assert await stores.workflows.commit(wanted)
    after = plain(await stores.workflows.get(workflow.id))
    assert after == plain(apply(workflow, wanted))
    return after


async def test_what_is_stored_is_what_the_domain_makes_of_it(stores: Stores) -> None:
    """A whole life: started, fanned out, failed with its error, retried, cancelled, run again."""
    workflow = await begun(stores)
    workflow = await committed(stores, workflow, ended(workflow, ("a", None), cached_from="job_0"))
    assert workflow.approve_by == NOW + timedelta(seconds=60)
    workflow = await committed(stores, workflow, ended(workflow, ("f", 1)))
    workflow = await committed(stores, workflow, ended(workflow, ("f", 0), status="FAILED", error=StepError("x", "y")))
    workflow = await committed(stores, workflow, ended(workflow, ("f", 2)))
    workflow = await committed(stores, workflow, made(workflow, cancel(workflow, PINNED, "enough")))
    assert workflow.status is WorkflowStatus.CANCELLED
    workflow = await committed(stores, workflow, made(workflow, retry(workflow, PINNED, None)))
    assert workflow.items["f"][0].status is StepStatus.ACTIVE and workflow.items["f"][1].run == 0
    workflow = await committed(stores, workflow, made(workflow, cancel(workflow, PINNED, None)))
    workflow = await committed(stores, workflow, ended(workflow, ("f", 0), status="CANCELLED"))
    assert await stores.workflows.sealed_of([workflow.id, "wf_none"]) == {workflow.id: "wf_test-1"}
    again = rerun(workflow, PINNED, "a", {"seconds": 2}, None, "wf_test-2")
    workflow = await committed(stores, workflow, made(workflow, again))
    assert workflow.step("a").parameters == {"seconds": 2} and workflow.items == {}
    assert await stores.workflows.sealed_of([workflow.id]) == {workflow.id: "wf_test-2"}
    assert [e.reason for e in workflow.history][-2:] == ["cancelled", "rerun"]


async def test_those_are_kept_that_are_not_over_so_long(stores: Stores) -> None:
    workflow = await begun(stores)
    ids, soon, late = [workflow.id, "wf_none"], NOW, NOW + timedelta(seconds=1)
    assert await stores.workflows.kept(ids, late) == {workflow.id}
    workflow = await committed(stores, workflow, made(workflow, cancel(workflow, PINNED, None)))
    workflow = await committed(stores, workflow, ended(workflow, ("a", None), status="CANCELLED"))
    assert workflow.finished_at == NOW
    assert (await stores.workflows.kept(ids, soon), await stores.workflows.kept(ids, late)) == ({workflow.id}, set())
    await committed(stores, workflow, made(workflow, retry(workflow, PINNED, None)))
    assert await stores.workflows.kept(ids, late) == {workflow.id}


async def test_one_of_two_changes_of_one_version_is_made(stores: Stores) -> None:
    workflow = await begun(stores)
    first, second = ended(workflow, ("a", None)), made(workflow, cancel(workflow, PINNED, None))
    assert sorted(await asyncio.gather(*(stores.workflows.commit(c) for c in (first, second)))) == [False, True]
    assert await stores.workflows.commit(first) or await stores.workflows.commit(second), "the one that was made"


async def test_an_id_is_taken_once(stores: Stores) -> None:
    workflow = new(PINNED)
    assert await stores.workflows.insert(workflow)
    assert not await stores.workflows.insert(replace(workflow, name="other"))
    assert plain(await stores.workflows.get(workflow.id)).name == "test"
    assert await stores.workflows.get("wf_none") is None


@pytest.mark.parametrize("fate", [BEFORE, AFTER])
async def test_a_write_whose_answer_is_lost_is_made_once(stores: Stores, fate: str) -> None:
    if stores.mongo is None:
        pytest.skip("memory loses no answer")
    workflow = await begun(stores)
    store = MongoWorkflowStore(stores.mongo)
    store._workflows = LosingCollection(store._workflows, [fate])  # type: ignore[assignment]
    assert await store.commit(ended(workflow, ("a", None)))
    assert plain(await store.get(workflow.id)).seq == workflow.seq + 1


async def test_lists_and_what_is_open(stores: Stores) -> None:
    at = NOW
    for n in range(5):
        status = WorkflowStatus.RUNNING if n % 2 else WorkflowStatus.COMPLETED
        at += timedelta(seconds=1)
        due = at if n == 3 else None
        workflow = replace(new(PINNED), id=f"wf_{n}", status=status, submitted_at=at, name=f"n{n % 2}", approve_by=due)
        await stores.workflows.insert(workflow)
    page = await stores.workflows.find(WorkflowQuery(limit=2))
    assert [w.id for w in page.workflows] == ["wf_4", "wf_3"] and page.next_after == "wf_3"
    rest = await stores.workflows.find(WorkflowQuery(after="wf_3"))
    assert [w.id for w in rest.workflows] == ["wf_2", "wf_1", "wf_0"] and rest.next_after is None
    named = await stores.workflows.find(WorkflowQuery(name="n1", status=frozenset({WorkflowStatus.RUNNING})))
    assert [w.id for w in named.workflows] == ["wf_3", "wf_1"]
    assert await stores.workflows.open(10) == ["wf_1", "wf_3"]
    assert await stores.workflows.open(10, after="wf_1") == ["wf_3"]
    assert await stores.workflows.approvals_due(NOW, 10) == []
    assert await stores.workflows.approvals_due(at, 10) == ["wf_3"]


WHOLE = Definition(
    "whole",
    (
        StepDefinition("a", "noop", parameters={"any.key": {"$odd": [1, None, "${{ x }}"]}}, executor="inline"),
        StepDefinition(
            "b",
            "sleep",
            depends_on=("a",),
            dependency_type=DependencyType.ALL_FINISHED,
            when="true",
            for_each=(1, {"k": 2.5}),
            max_parallel=1,
            retry_policy={"max_attempts": 2, "retry_on": ["error"]},
            resources={"cpu_cores": 0.5},
            priority=Priority.HIGH,
            timeout=7.5,
            approval=Approval("m", 3, "approve"),
            on_failure="continue",
            cache=True,
        ),
        StepDefinition("c", "noop", for_each="${{ inputs.l }}"),
    ),
    "about",
    {"l": InputDefinition("array", [1])},
    Priority.LOW,
)


async def test_definitions_are_kept_whole_and_versions_never_change(stores: Stores) -> None:
    first = await stores.definitions.define(WHOLE, {"noop": 1, "sleep": 1}, NOW)
    assert (first.version, first.definition) == (1, WHOLE)
    again = await stores.definitions.define(WHOLE, {"noop": 1, "sleep": 1}, NOW + timedelta(days=1))
    assert (again.version, again.created_at) == (1, NOW)
    newer = await stores.definitions.define(WHOLE, {"noop": 2, "sleep": 1}, NOW)
    other = await stores.definitions.define(replace(WHOLE, description="x"), {"noop": 2, "sleep": 1}, NOW)
    assert [newer.version, other.version] == [2, 3]
    if stores.mongo is not None:  # another process, which remembers nothing
        stores = replace(stores, definitions=MongoDefinitionStore(stores.mongo))
    read = await stores.definitions.get("whole", 1)
    assert read is not None and (read.definition, read.templates) == (WHOLE, {"noop": 1, "sleep": 1})
    newest = await stores.definitions.get("whole")
    assert newest is not None and newest.version == 3
    assert await stores.definitions.get("whole", 4) is None and await stores.definitions.get("none") is None
    rows = await stores.definitions.versions("whole", 10)
    assert [(r.version, r.description) for r in rows] == [(3, "x"), (2, "about"), (1, "about")]
    assert (rows[2].name, rows[2].templates, rows[2].created_at) == ("whole", {"noop": 1, "sleep": 1}, NOW)
    assert await stores.definitions.versions("whole", 1, before=3) == rows[1:2]
    assert await stores.definitions.versions("none", 10) == []


async def test_definitions_are_listed_at_their_newest_versions_in_pages(stores: Stores) -> None:
    for name in ("c", "a", "b", "a"):
        for n in range(2):
            await stores.definitions.define(replace(WHOLE, name=name, description=f"{n}"), {"noop": 1}, NOW)
    page = await stores.definitions.page(2)
    assert [(row.name, row.version, row.description) for row in page] == [("a", 4, "1"), ("b", 2, "1")]
    assert [row.name for row in await stores.definitions.page(2, "b")] == ["c"]


async def test_no_more_definitions_are_remembered_than_there_is_room_for(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stores.mongo is None:
        pytest.skip("memory is the store")
    size = len(definition_json(WHOLE))
    monkeypatch.setattr("app.storage.workflows.REMEMBERED", 2 * size + 10)
    store = MongoDefinitionStore(stores.mongo)
    for name in "abc":
        await store.define(replace(WHOLE, name=name), {"noop": 1}, NOW)
    assert await store.get("b", 1) is not None and await store.get("a", 1) is not None
    assert list(store._known._kept) == [("b", 1), ("a", 1)]


async def test_two_who_define_at_once_get_two_versions(stores: Stores) -> None:
    wanted = [replace(WHOLE, description=str(n)) for n in range(8)]
    found = await asyncio.gather(*(stores.definitions.define(d, {"noop": 1}, NOW) for d in wanted))
    assert sorted(f.version for f in found) == list(range(1, 9))
    for definition, pinned_to in zip(wanted, found, strict=True):
        read = await stores.definitions.get("whole", pinned_to.version)
        assert read is not None and read.definition == definition


def schedule(name: str = "nightly", **fields: Any) -> Schedule:
    base = Schedule(name, "test", "0 2 * * *", "UTC", "skip", "default", NOW, NOW, {"n": 1})
    return replace(base, **fields)


async def test_schedules_are_kept_and_moved_on_once(stores: Stores) -> None:
    assert await stores.schedules.insert(schedule())
    assert await stores.schedules.insert(schedule()), "sent again it meets itself"
    assert not await stores.schedules.insert(schedule(cron="1 2 * * *"))
    await stores.schedules.insert(schedule("later", next_at=NOW + timedelta(hours=1)))
    await stores.schedules.insert(schedule("never", next_at=None))
    assert [s.name for s in await stores.schedules.due(NOW, 10)] == ["nightly"]
    assert [s.name for s in await stores.schedules.page(2)] == ["later", "never"]
    assert [s.name for s in await stores.schedules.page(2, "never")] == ["nightly"]
    after = schedule(next_at=NOW + timedelta(days=1), last_at=NOW, last_workflow_id="wf_1")
    assert await stores.schedules.move_on(schedule(), after)
    assert not await stores.schedules.move_on(schedule(), after)
    assert await stores.schedules.get("nightly") == after
    assert await stores.schedules.delete("nightly") and not await stores.schedules.delete("nightly")
    assert await stores.schedules.get("nightly") is None


async def test_a_schedule_names_what_is_sealed_of_it(stores: Stores) -> None:
    guarded = schedule(inputs={"token": "***"}, sealed="schedule:nightly-1")
    assert await stores.schedules.insert(guarded)
    assert not await stores.schedules.insert(replace(guarded, sealed="schedule:nightly-2")), "another's is not its own"
    await stores.schedules.insert(schedule("open"))
    assert await stores.schedules.get("nightly") == guarded
    assert await stores.schedules.sealed_of(["nightly", "open", "none"]) == {"nightly": guarded.sealed, "open": None}
    assert await stores.schedules.move_on(guarded, replace(guarded, next_at=None))
    assert await stores.schedules.sealed_of(["nightly"]) == {"nightly": guarded.sealed}


async def test_those_of_an_earlier_release_name_nothing_sealed(stores: Stores) -> None:
    if stores.mongo is None:
        pytest.skip("memory has no earlier release")
    workflow = new(PINNED)
    await stores.workflows.insert(workflow)
    await stores.schedules.insert(schedule())
    for name in ("workflows", "schedules"):
        await stores.mongo[name].update_one({}, {"$unset": {"sealed": 1}})
    assert plain(await stores.workflows.get(workflow.id)) == workflow
    assert await stores.schedules.get("nightly") == schedule()
    assert await stores.workflows.sealed_of([workflow.id]) == {workflow.id: None}
    assert await stores.schedules.sealed_of(["nightly"]) == {"nightly": None}


async def test_the_cache_knows_the_newest_job_of_a_key(stores: Stores) -> None:
    await stores.cache.keep("k1", "job_1", NOW)
    await stores.cache.keep("k1", "job_2", NOW)
    assert await stores.cache.find(["k1", "k2"]) == {"k1": "job_2"}


async def test_a_workflow_of_ten_thousand_steps_can_be_kept(stores: Stores) -> None:
    large = pinned(step("a"), *(step(f"s{n}", "a") for n in range(9_999)))
    workflow = new(large)
    await stores.workflows.insert(workflow)
    draft = start(workflow, large, {}, NOW)
    after = advance(large, draft.workflow, (), {}, NOW, look_at=draft.look_at)
    first = change(workflow, draft, after, Stamp(NOW, "tester", "op_large"))
    assert first is not None and await stores.workflows.commit(first)
    running = await stores.workflows.get(workflow.id)
    assert running is not None
    all_at_once = advance(large, running, [Ended(JobRef("a", None, 0), StepStatus.COMPLETED)], {}, NOW)
    second = change(running, Draft(running), all_at_once, Stamp(NOW, "tester", "op_wide"))
    assert second is not None and await stores.workflows.commit(second)
    found = await stores.workflows.get(workflow.id)
    assert found is not None and found.counts == {"COMPLETED": 1, "ACTIVE": 9_999}
