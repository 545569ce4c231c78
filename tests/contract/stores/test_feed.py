"""The change feed over both drivers: every write once, in order, with all that subscribers need, and resumable."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app.domain import transitions
from app.domain.job import Progress
from app.domain.nodes import Node, NodeState
from app.domain.resources import Vector
from app.domain.transitions import Stamp, apply
from app.storage.feed import MongoChangeFeed
from app.storage.jobs import MongoJobStore
from app.storage.mongo import Database
from app.storage.nodes import MongoNodeStore
from tests.contract.stores.feed_world import (
    EVERYTHING,
    LATER,
    everything,
    insert_job,
    move_job,
    reading,
    report_progress,
)
from tests.support.clock import NOON
from tests.unit.domain.builders import a_job


async def test_each_write_is_told_once_with_all_that_subscribers_need(mongo: Database) -> None:
    async with reading(MongoChangeFeed(mongo)) as reader:
        await everything(mongo)
        await reader.some(len(EVERYTHING))
        assert reader.types() == EVERYTHING
        submitted, placed, progress, first, second, node, _, paused, _ = reader.events
    assert submitted.data == {
        "type": "job.state", "job_id": "job_a", "name": "iris-svm", "seq": 1, "from": None, "to": "QUEUED",
        "reason": "submitted", "at": "2026-01-01T12:00:00.001Z", "actor": "system", "attempt": 0, "run_no": 0,
        "detail": None,
    }  # fmt: skip
    assert (placed.data["from"], placed.data["to"], placed.data["detail"]) == ("QUEUED", "SCHEDULED", "n1")
    assert progress.data == {
        "type": "job.progress", "job_id": "job_a", "step": "train", "progress": 0.64, "metrics": {"loss": 0.5},
        "text": "64/100 trees",
    }  # fmt: skip
    assert second.data == {
        "type": "log.line", "job_id": "job_a", "run_no": 1, "step": "train", "n": 2, "at": "2026-01-01T12:00:01.250Z",
        "stream": "stdout", "text": "line 2",
    }  # fmt: skip
    assert node.data == {
        "type": "node.state", "node_id": "n1", "state": "READY", "at": "2026-01-01T12:00:00.000Z",
        "reason": "registered",
    }  # fmt: skip
    assert paused.data | {"counts": None} == {
        "type": "batch.state", "id": "batch_1", "status": "PAUSED", "counts": None, "size": 3, "name": "some",
        "at": "2026-01-01T12:00:00.000Z", "kind": "batch", "seq": 2, "reason": "paused", "actor": "ann",
        "detail": "lunch",
    }  # fmt: skip
    assert paused.subject == {"batch_id": "batch_1"}
    subject = {
        "job_id": "job_a", "workflow_id": None, "batch_id": "batch_1", "tags": ["night"], "template": None,
        "class": "normal",
    }  # fmt: skip
    assert [e.subject for e in (submitted, placed, progress, first, second)] == [subject] * 5


async def test_what_the_stores_write_is_told(mongo: Database) -> None:
    jobs, nodes = MongoJobStore(mongo), MongoNodeStore(mongo)
    capacity = Vector(1000, 1024)
    async with reading(MongoChangeFeed(mongo)) as reader:
        await nodes.register(Node("node-1", NodeState.READY, 1, {"zone": "a"}, capacity, capacity))
        job = a_job(tags=("night",)).job
        await jobs.insert(job)
        placed = transitions.place(job, "node-1", (), Stamp(LATER, "system", "op-place"))
        await jobs.commit([placed])
        started = transitions.start(apply(job, placed), Stamp(LATER, "system", "op-start"))
        await jobs.commit([started])
        assert await jobs.save_progress(job.id, Progress(1, LATER, 0.5, "noop", "half", (), {"loss": 1.0}))
        await nodes.set_state("node-1", NodeState.DRAINING, "asked", LATER)
        told = await reader.some(6)
    assert [e.type for e in told] == ["node.state", *["job.state"] * 3, "job.progress", "node.state"]
    assert [(e.data["seq"], e.data["to"]) for e in told[1:4]] == [(1, "QUEUED"), (2, "SCHEDULED"), (3, "RUNNING")]
    assert {(e.data["job_id"], e.data["name"]) for e in told[1:4]} == {(job.id, job.name)}
    assert [e.subject["tags"] for e in told[1:5]] == [["night"]] * 4
    assert [e.data["state"] for e in (told[0], told[-1])] == ["READY", "DRAINING"]


async def test_a_change_of_priority_is_told_as_state_and_as_queue(mongo: Database) -> None:
    await insert_job(mongo)
    async with reading(MongoChangeFeed(mongo)) as reader:
        await move_job(mongo, 2, "QUEUED", "priority_changed", actor="ann", detail="release today")
        state, queue = await reader.some(2)
    assert (state.type, state.data["reason"]) == ("job.state", "priority_changed")
    assert queue.data == {
        "type": "job.queue", "job_id": "job_a", "class": "high", "position": None, "actor": "ann",
        "reason": "release today",
    }  # fmt: skip
    assert (state.token is None, queue.token is None) == (True, False)


async def test_a_node_that_registers_again_by_a_pipeline_is_told_whole(mongo: Database) -> None:
    await mongo["nodes"].insert_one({"_id": "n1", "last": {"state": "READY", "reason": "registered", "at": NOON}})
    async with reading(MongoChangeFeed(mongo)) as reader:
        again = {"state": "READY", "reason": "registered", "at": LATER}
        await mongo["nodes"].update_one({"_id": "n1"}, [{"$set": {"last": again, "free": {"gpu": 1}}}])
        [event] = await reader.some(1)
    assert event.data["state"] == "READY"
    assert event.data["at"] == "2026-01-01T12:00:01.250Z"


async def test_progress_of_a_job_from_before_the_feed_has_its_subject(mongo: Database) -> None:
    await insert_job(mongo)
    async with reading(MongoChangeFeed(mongo)) as reader:
        await report_progress(mongo, 0.5)
        [event] = await reader.some(1)
    assert event.subject["tags"] == ["night"]


async def test_a_token_leads_to_exactly_what_follows(mongo: Database) -> None:
    async with reading(MongoChangeFeed(mongo)) as reader:
        await everything(mongo)
        told = await reader.some(len(EVERYTHING))
    feed = MongoChangeFeed(mongo)
    for n, event in enumerate(told[:-1]):
        if event.token is None:
            assert (event.type, event.data["n"]) == ("log.line", 1)
            continue
        assert await feed.valid_token(event.token)
        async with reading(feed, event.token) as resumed:
            assert await resumed.some(len(told) - n - 1) == told[n + 1 :]


async def test_tokens_sort_in_the_order_of_events(mongo: Database) -> None:
    feed = MongoChangeFeed(mongo)
    async with reading(feed) as reader:
        opening = await feed.token_now()
        await everything(mongo)
        told = await reader.some(len(EVERYTHING))
        tokens = [opening, *(e.token for e in told if e.token is not None), await feed.token_now()]
    assert tokens == sorted(tokens)


async def test_a_token_of_now_precedes_what_is_written_next(mongo: Database) -> None:
    feed = MongoChangeFeed(mongo)
    await insert_job(mongo)
    without_stream = await feed.token_now()
    await move_job(mongo, 2, "SCHEDULED", "placed")
    async with reading(feed):
        with_stream = await feed.token_now()
        await move_job(mongo, 3, "RUNNING", "started")
    for token, seqs in ((without_stream, [2, 3]), (with_stream, [3])):
        assert await feed.valid_token(token)
        async with reading(feed, token) as resumed:
            assert [e.data["seq"] for e in await resumed.some(len(seqs))] == seqs


async def test_a_token_of_the_past_leads_to_what_became_durable_since(mongo: Database) -> None:
    await everything(mongo)
    feed = MongoChangeFeed(mongo)
    long_ago, now = await feed.token_before(timedelta(minutes=5)), await feed.token_before(timedelta(0))
    assert long_ago < now
    assert await feed.valid_token(long_ago)
    async with reading(feed, long_ago) as reader:
        await feed.caught_up()
        assert reader.types() == EVERYTHING
        assert await feed.token_now() >= (reader.events[-1].token or "")


async def test_a_feed_that_begins_at_the_present_has_nothing_to_catch_up_with(mongo: Database) -> None:
    await everything(mongo)
    feed = MongoChangeFeed(mongo)
    async with reading(feed) as reader:
        await feed.caught_up()
        assert reader.events == []


async def test_an_unreadable_document_does_not_stop_the_feed(mongo: Database) -> None:
    async with reading(MongoChangeFeed(mongo)) as reader:
        await mongo["jobs"].insert_one({"_id": "bad", "last": {"seq": 1}})
        await mongo["jobs"].insert_one({"_id": "worse", "last": "text"})
        await mongo["logs"].insert_one({"_id": "log", "lines": [{}]})
        await insert_job(mongo)
        await reader.some(1)
        assert [e.data["job_id"] for e in reader.events] == ["job_a"]


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 10])
async def test_a_cancellation_always_ends_the_reading(mongo: Database, turns: int) -> None:
    feed = MongoChangeFeed(mongo)
    task = asyncio.create_task(anext(feed.events()))
    await feed.opened()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=30)
    assert task.cancelled()
