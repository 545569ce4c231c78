"""The change feed over both drivers: every write once, in order, resumable; what is lost is said; polling tells the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, InvalidOperation, OperationFailure

from app.domain.events import Event
from app.domain.records import LogLine
from app.storage.feed import MongoChangeFeed
from app.storage.feed.feed import Verdict, judge
from app.storage.feed.token import WatchPoint
from app.storage.logs import MongoLogStore
from app.storage.mongo import Database, Document
from tests.support.clock import NOON
from tests.support.wait import until

LATER = NOON + timedelta(seconds=1.25)


def entry(seq: int, to: str, reason: str, **more: Any) -> Document:
    return {
        "seq": seq,
        "from": None if seq == 1 else "QUEUED",
        "to": to,
        "reason": reason,
        "at": NOON + timedelta(milliseconds=seq),
        "actor": "system",
        "attempt": 0,
        "run_no": 0,
        "detail": None,
        "op": f"op{seq}",
    } | more


SUBJECT = {
    "name": "iris-svm",
    "tags": ["night"],
    "batch_id": "batch_1",
    "workflow_id": None,
    "tenant": "default",
    "priority": "normal",
    "effective_priority": "high",
}


async def insert_job(mongo: Database, job_id: str = "job_a") -> None:
    first = entry(1, "QUEUED", "submitted")
    await mongo["jobs"].insert_one(
        {
            "_id": job_id,
            "seq": 1,
            "status": "QUEUED",
            "history": [first],
            "last": first | SUBJECT,
            "filler": "x" * 1_000,
        }
    )


async def move_job(mongo: Database, seq: int, to: str, reason: str, job_id: str = "job_a", **more: Any) -> None:
    following = entry(seq, to, reason, **more)
    fields = {"status": to, "seq": seq, "last": following | SUBJECT}
    await mongo["jobs"].update_one({"_id": job_id, "seq": seq - 1}, {"$set": fields, "$push": {"history": following}})


async def report_progress(mongo: Database, fraction: float, job_id: str = "job_a") -> None:
    progress = {
        "run_no": 1,
        "at": LATER,
        "fraction": fraction,
        "step": "train",
        "text": "64/100 trees",
        "metrics": {"loss": 0.5},
    }
    await mongo["jobs"].update_one({"_id": job_id}, {"$set": {"progress": progress}})


@dataclass
class Reader:
    """What a feed told so far."""

    feed: MongoChangeFeed
    events: list[Event] = field(default_factory=list)

    async def some(self, count: int) -> list[Event]:
        """The first `count` events, as soon as there are that many."""
        await until(lambda: len(self.events) >= count, message=f"{count} events")
        return self.events[:count]

    def types(self) -> list[str]:
        return [event.type for event in self.events]


@asynccontextmanager
async def reading(feed: MongoChangeFeed, after: str | None = None) -> AsyncIterator[Reader]:
    reader = Reader(feed)

    async def read() -> None:
        async for event in feed.events(after):
            reader.events.append(event)

    task = asyncio.create_task(read())
    opened = asyncio.create_task(feed.opened())
    await asyncio.wait([task, opened], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield reader
    finally:
        for each in (task, opened):
            each.cancel()
            with suppress(asyncio.CancelledError):
                await each


async def everything(mongo: Database) -> None:
    """One of each that the feed tells, and much that it does not."""
    await insert_job(mongo)
    await move_job(mongo, 2, "SCHEDULED", "placed", run_no=1, detail="n1")
    await report_progress(mongo, 0.64)
    lines = [LogLine(n, LATER, "train", "stdout", f"line {n}") for n in (1, 2)]
    await MongoLogStore(mongo).append("job_a", 1, lines)
    await mongo["nodes"].insert_one({"_id": "n1", "last": {"state": "READY", "reason": "registered", "at": NOON}})
    await mongo["nodes"].update_one({"_id": "n1"}, {"$set": {"free.gpu": 3}})
    await mongo["jobs"].update_one({"_id": "job_a"}, {"$set": {"wait": "elsewhere"}})
    await mongo["metrics"].insert_one({"_id": "m", "last": {"at": NOON}})
    await mongo["leases"].insert_one({"_id": "l", "last": {"at": NOON}})
    await mongo["jobs"].delete_one({"_id": "job_a"})
    await insert_job(mongo, "job_z")


EVERYTHING = ["job.state", "job.state", "job.progress", "log.line", "log.line", "node.state", "job.state"]


async def test_each_write_is_told_once_with_all_that_subscribers_need(mongo: Database) -> None:
    async with reading(MongoChangeFeed(mongo)) as reader:
        await everything(mongo)
        await reader.some(len(EVERYTHING))
        assert reader.types() == EVERYTHING
        submitted, placed, progress, first, second, node, _ = reader.events
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
        "type": "node.state", "node_id": "n1", "state": "READY", "at": "2026-01-01T12:00:00.000Z", "reason": "registered",
    }  # fmt: skip
    subject = {"job_id": "job_a", "workflow_id": None, "batch_id": "batch_1", "tags": ["night"]}
    assert [e.subject for e in (submitted, placed, progress, first, second)] == [subject] * 5


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


HOSTILE = (
    "", "w", "p", "x", "w82", "w82zz", "W82" + "0" * 32, "w82" + "0" * 31, "w82" + "0" * 5_000, "w83" + "0" * 32, "p1",
    "p999999999999999", "p-00000000000001", "w82" + "0" * 32 + "\n", "{'$gt': ''}", "w82" + "é" * 32, "w82" + "F" * 32,
)  # fmt: skip


@pytest.mark.parametrize("token", HOSTILE)
async def test_what_is_no_token_is_refused_and_gives_a_resync(mongo: Database, token: str) -> None:
    feed = MongoChangeFeed(mongo)
    assert not await feed.valid_token(token)
    async with reading(feed, token) as reader:
        await insert_job(mongo)
        resync, state = await reader.some(2)
        assert (resync.type, state.type) == ("resync", "job.state")


async def test_a_token_from_the_future_is_refused(mongo: Database) -> None:
    feed = MongoChangeFeed(mongo)
    async with reading(feed):
        now = await feed.token_now()
        assert await feed.valid_token(now)
        assert not await feed.valid_token("w82ffffffff" + now[11:])


@pytest.mark.parametrize("data", ["00" * 16, "6b05785f00000002" + "ff" * 30, "0000000100000001" + "2b0229296e04"])
async def test_a_token_that_the_server_refuses_gives_one_resync_and_then_what_follows(
    mongo: Database, data: str
) -> None:
    async with reading(MongoChangeFeed(mongo), f"w82{data}") as reader:
        [resync] = await reader.some(1)
        assert resync.type == "resync"
        await insert_job(mongo)
        await reader.some(2)
        assert reader.types() == ["resync", "job.state"]


async def test_a_dropped_database_gives_one_resync_and_then_what_follows(mongo: Database) -> None:
    feed = MongoChangeFeed(mongo)
    async with reading(feed) as reader:
        await everything(mongo)
        await reader.some(len(EVERYTHING))
        await mongo.client.drop_database(mongo.name)
        await reader.some(len(EVERYTHING) + 1)
        await insert_job(mongo)
        await reader.some(len(EVERYTHING) + 2)
        assert reader.types() == [*EVERYTHING, "resync", "job.state"]
        resync = reader.events[-2]
    assert resync.token is not None
    async with reading(feed, resync.token) as resumed:
        assert [e.type for e in await resumed.some(1)] == ["job.state"]


async def test_a_dropped_collection_gives_one_resync(mongo: Database) -> None:
    async with reading(MongoChangeFeed(mongo)) as reader:
        await everything(mongo)
        await reader.some(len(EVERYTHING))
        await mongo.raw["logs"].drop()
        await mongo.raw["nodes"].drop()
        await reader.some(len(EVERYTHING) + 1)
        await insert_job(mongo)
        await reader.some(len(EVERYTHING) + 2)
        assert reader.types() == [*EVERYTHING, "resync", "job.state"]


async def test_a_dropped_collection_of_others_is_nobodys_business(mongo: Database) -> None:
    async with reading(MongoChangeFeed(mongo)) as reader:
        await mongo["metrics"].insert_one({"_id": "m"})
        await mongo.raw["metrics"].drop()
        await insert_job(mongo)
        await reader.some(1)
        assert reader.types() == ["job.state"]


async def test_an_unreadable_document_does_not_stop_the_feed(mongo: Database) -> None:
    async with reading(MongoChangeFeed(mongo)) as reader:
        await mongo["jobs"].insert_one({"_id": "bad", "last": {"seq": 1}})
        await mongo["jobs"].insert_one({"_id": "worse", "last": "text"})
        await mongo["logs"].insert_one({"_id": "log", "lines": [{}]})
        await insert_job(mongo)
        await reader.some(1)
        assert [e.data["job_id"] for e in reader.events] == ["job_a"]


class Breaking:
    """A database whose change streams fail: each opening takes the next failure, and after `after` changes it strikes."""

    def __init__(self, database: Database, failures: list[Exception], after: int = 0) -> None:
        self._database, self.failures, self._after = database, failures, after
        self.opened_after: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def __getitem__(self, name: str) -> Any:
        return self._database[name]

    @asynccontextmanager
    async def watch(self, pipeline: Any, **options: Any) -> AsyncIterator[Any]:
        self.opened_after.append(options["resume_after"])
        async with self._database.watch(pipeline, **options) as stream:
            yield _Failing(stream, self) if self.failures else stream


class _Failing:
    def __init__(self, stream: Any, breaking: Breaking) -> None:
        self._stream, self._breaking, self._left = stream, breaking, breaking._after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def try_next(self) -> Any:
        if not self._left:
            raise self._breaking.failures.pop(0)
        change = await self._stream.try_next()
        self._left -= change is not None
        return change


async def test_a_broken_connection_neither_loses_nor_repeats(mongo: Database) -> None:
    failures: list[Exception] = [
        AutoReconnect("gone"),
        OperationFailure("cursor not found", 43),
        AutoReconnect("again"),
    ]
    breaking = Breaking(mongo, failures, after=1)
    async with reading(MongoChangeFeed(breaking)) as reader:  # type: ignore[arg-type]
        await insert_job(mongo)
        for seq in range(2, 8):
            await move_job(mongo, seq, "QUEUED", "reordered")
        await until(lambda: len(reader.events) >= 13)
        states = [e.data["seq"] for e in reader.events if e.type == "job.state"]
    assert states == list(range(1, 8))
    assert breaking.failures == []
    assert breaking.opened_after[0] is None
    assert None not in breaking.opened_after[1:]


@pytest.mark.parametrize("code", [286, 280, 260, 50811])
async def test_a_lost_history_gives_one_resync(mongo: Database, code: int) -> None:
    breaking = Breaking(mongo, [OperationFailure("lost", code)])
    async with reading(MongoChangeFeed(breaking)) as reader:  # type: ignore[arg-type]
        await reader.some(1)
        await insert_job(mongo)
        await reader.some(2)
        assert reader.types() == ["resync", "job.state"]
    assert breaking.opened_after == [None, None]


async def test_a_closed_client_ends_the_feed(mongo: Database) -> None:
    breaking = Breaking(mongo, [InvalidOperation("Cannot use MongoClient after close")])
    with pytest.raises(InvalidOperation):
        async for _ in MongoChangeFeed(breaking).events():  # type: ignore[arg-type]
            pass


@pytest.mark.parametrize(
    ("error", "resuming", "want"),
    [
        (AutoReconnect("x"), True, Verdict.AGAIN),
        (OperationFailure("x", 43), True, Verdict.AGAIN),
        (OperationFailure("x", 10107), False, Verdict.AGAIN),
        (OperationFailure("x", 286), True, Verdict.LOST),
        (OperationFailure("x", 40573), True, Verdict.LOST),
        (OperationFailure("x", 40573), False, Verdict.REFUSED),
        (OperationFailure("x", 8000), False, Verdict.REFUSED),
    ],
)
def test_verdicts(error: Any, resuming: bool, want: Verdict) -> None:
    assert judge(error, resuming=resuming) is want


class WithoutStreams(Breaking):
    """A database that has no change streams."""

    @asynccontextmanager
    async def watch(self, pipeline: Any, **options: Any) -> AsyncIterator[Any]:
        raise OperationFailure("The $changeStream stage is only supported on replica sets", 40573)
        yield


def polled(mongo: Database) -> MongoChangeFeed:
    return MongoChangeFeed(WithoutStreams(mongo, []))  # type: ignore[arg-type]


def told(events: list[Event], wanted: Callable[[Event], bool] = lambda _: True) -> list[Event]:
    """In an order and without tokens, so that two ways of telling compare."""
    return sorted((replace(e, token=None) for e in events if wanted(e)), key=lambda e: (e.type, str(e.data)))


async def tell_of(mongo: Database, write: Callable[[Document], Any]) -> None:
    """Writes as they are told in either mode; jobs stay, since polling cannot tell of what is gone."""
    await insert_job(mongo)
    await move_job(mongo, 2, "SCHEDULED", "placed", run_no=1)
    await move_job(mongo, 3, "RUNNING", "started", run_no=1)
    await report_progress(mongo, 0.64)
    await MongoLogStore(mongo).append("job_a", 1, [LogLine(n, LATER, "train", "log", "x") for n in (1, 2)])
    await mongo["nodes"].insert_one({"_id": "n1", "last": {"state": "READY", "reason": "registered", "at": NOON}})


async def test_polling_tells_the_same_events(mongo: Database) -> None:
    watching, polling = MongoChangeFeed(mongo), polled(mongo)
    async with reading(watching) as watched, reading(polling) as asked:
        assert (watching.mode, polling.mode) == ("watch", "poll")
        await tell_of(mongo, lambda _: None)
        assert told(await asked.some(7)) == told(await watched.some(7))


async def test_polling_starts_at_the_present_and_tells_nothing_twice(mongo: Database) -> None:
    await insert_job(mongo)
    async with reading(polled(mongo)) as reader:
        await move_job(mongo, 2, "QUEUED", "eligible")
        await reader.some(1)
        await move_job(mongo, 3, "QUEUED", "eligible")
        await reader.some(2)
        assert [e.data["seq"] for e in reader.events] == [2, 3]


async def test_polling_tells_what_becomes_durable_late(mongo: Database) -> None:
    async with reading(polled(mongo)) as reader:
        await insert_job(mongo)
        await reader.some(1)
        late = entry(1, "QUEUED", "submitted", at=NOON - timedelta(seconds=3))
        await mongo["jobs"].insert_one(
            {"_id": "job_b", "seq": 1, "status": "QUEUED", "history": [late], "last": late | SUBJECT}
        )
        assert [e.data["job_id"] for e in await reader.some(2)] == ["job_a", "job_b"]


async def test_polling_resumes_after_its_own_token_and_misses_nothing(mongo: Database) -> None:
    feed = polled(mongo)
    async with reading(feed) as reader:
        await insert_job(mongo)
        [first] = await reader.some(1)
    assert first.token is not None
    assert await feed.valid_token(first.token)
    assert not await feed.valid_token(WatchPoint("82" + "00" * 16).text)
    await move_job(mongo, 2, "QUEUED", "eligible")
    async with reading(feed, first.token) as resumed:
        await until(lambda: 2 in [e.data["seq"] for e in resumed.events])
        assert "resync" not in resumed.types()


async def test_polling_answers_the_token_of_a_change_stream_with_a_resync(mongo: Database) -> None:
    async with reading(polled(mongo), WatchPoint("82" + "00" * 16).text) as reader:
        await reader.some(1)
        await insert_job(mongo)
        await reader.some(2)
        assert reader.types() == ["resync", "job.state"]
