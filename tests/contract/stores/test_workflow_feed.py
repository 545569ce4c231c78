"""What the feed tells of workflows, watched and polled: each change with its steps, and jobs as their steps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from app.domain import transitions
from app.domain.events import Event
from app.domain.transitions import Stamp
from app.domain.workflows.advance import Ended, Facts, advance
from app.domain.workflows.changes import Draft, apply, change
from app.domain.workflows.controls import cancel, start
from app.domain.workflows.state import JobRef, StepStatus, Workflow, WorkflowEntry, WorkflowStatus
from app.storage.feed import MongoChangeFeed
from app.storage.jobs import MongoJobStore
from app.storage.mongo import Database
from app.storage.workflows import MongoWorkflowStore
from tests.contract.stores.feed_world import reading
from tests.contract.stores.test_feed_poll import polled
from tests.unit.domain.builders import a_job
from tests.unit.workflows.builders import new, pinned, step

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PINNED = pinned(step("a"), step("b", "a", when="false"), step("f", "a", for_each=(1, 2)))


async def written(store: MongoWorkflowStore, workflow: Workflow, draft: Draft) -> Workflow:
    facts = {"b": Facts(when=False)}
    after = advance(PINNED, draft.workflow, draft.ended, facts, NOW, look_at=draft.look_at)
    made = change(workflow, draft, after, Stamp(NOW, "tester", f"op{workflow.seq}"))
    assert made is not None and await store.commit(made)
    return apply(workflow, made)


def told(events: list[Event]) -> list[tuple[str, object, object]]:
    return [(e.type, e.data.get("step_id"), e.data["status"]) for e in events if e.type.startswith("workflow")]


async def test_each_change_is_told_with_the_steps_that_no_job_tells_of(mongo: Database) -> None:
    store = MongoWorkflowStore(mongo)
    async with reading(MongoChangeFeed(mongo)) as reader:
        workflow = new(PINNED)
        await store.insert(workflow)
        workflow = await written(store, workflow, start(workflow, PINNED, {}, NOW))
        ended = (Ended(JobRef("a", None, 0), StepStatus.COMPLETED),)
        await written(store, workflow, Draft(workflow, ended=ended))
        events = await reader.some(5)
    assert told(events) == [
        ("workflow.state", None, "PENDING"),
        ("workflow.state", None, "RUNNING"),
        ("workflow.step", "b", "SKIPPED"),
        ("workflow.step", "f", "RUNNING"),
        ("workflow.state", None, "RUNNING"),
    ]
    assert events[-1].data == {
        "type": "workflow.state", "id": "wf_test", "status": "RUNNING", "at": "2026-01-01T12:00:00.000Z",
        "counts": {"COMPLETED": 1, "SKIPPED": 1, "ACTIVE": 1}, "name": "test", "seq": 3,
        "reason": None, "actor": None, "detail": None,
    }  # fmt: skip
    assert [e.data["skipped_because"] for e in events[2:4]] == ["condition_false", None]
    assert {e.subject["workflow_id"] for e in events} == {"wf_test"}
    assert [e.token is None for e in events] == [False, False, True, True, False], "the last of each write"


async def test_each_entry_is_told_once_with_who_did_it_and_why(mongo: Database) -> None:
    """A cancel that ends the workflow at once is two entries of one write."""
    store = MongoWorkflowStore(mongo)
    async with reading(MongoChangeFeed(mongo)) as reader:
        workflow = new(PINNED)
        await store.insert(workflow)
        cancelled = cancel(workflow, PINNED, "enough")
        assert cancelled is not None
        await written(store, workflow, cancelled)
        events = await reader.some(6)
    assert told(events)[1:4] == [("workflow.step", step_id, "CANCELLED") for step_id in ("a", "b", "f")]
    states = [e.data for e in events[4:]]
    assert [(d["seq"], d["status"], d["reason"], d["actor"], d["detail"]) for d in states] == [
        (2, "CANCELLED", "cancel_requested", "tester", "enough"),
        (2, "CANCELLED", "cancelled", "system", None),
    ]
    assert [e.token is None for e in events] == [False, *[True] * 4, False], "the last of each write"


async def test_one_that_is_started_when_it_comes_is_told_as_submitted_and_as_started(mongo: Database) -> None:
    entries = (
        WorkflowEntry(1, None, WorkflowStatus.PENDING, "submitted", NOW, "ann"),
        WorkflowEntry(2, WorkflowStatus.PENDING, WorkflowStatus.RUNNING, "started", NOW, "ann"),
    )
    async with reading(MongoChangeFeed(mongo)) as reader:
        await MongoWorkflowStore(mongo).insert(
            replace(new(PINNED), status=WorkflowStatus.RUNNING, seq=2, history=entries)
        )
        events = await reader.some(2)
    assert [(e.data["seq"], e.data["status"], e.data["reason"], e.data["actor"]) for e in events] == [
        (1, "RUNNING", "submitted", "ann"),
        (2, "RUNNING", "started", "ann"),
    ]


async def test_a_job_tells_of_its_step_and_item(mongo: Database) -> None:
    jobs = MongoJobStore(mongo)
    job = replace(a_job().job, workflow_id="wf_test", step_id="f", step_item=1)
    async with reading(MongoChangeFeed(mongo)) as reader:
        await jobs.insert(job)
        await jobs.commit([transitions.place(job, "n1", (), Stamp(NOW, "system", "op"))])
        events = await reader.some(4)
    assert [e.type for e in events] == ["job.state", "workflow.step"] * 2
    assert events[-1].data == {
        "type": "workflow.step", "workflow_id": "wf_test", "step_id": "f", "status": "SCHEDULED", "job_id": job.id,
        "item": 1, "skipped_because": None,
    }  # fmt: skip
    assert events[-1].subject["workflow_id"] == "wf_test"


async def test_the_newest_change_is_told_where_it_must_be_polled(mongo: Database) -> None:
    store = MongoWorkflowStore(mongo)
    async with reading(polled(mongo)) as reader:
        workflow = new(PINNED)
        await store.insert(workflow)
        await reader.some(1)
        await written(store, workflow, start(workflow, PINNED, {}, NOW))
        events = await reader.some(2)
    assert told(events) == [("workflow.state", None, "PENDING"), ("workflow.state", None, "RUNNING")]
