"""What the tests of the feed share: writes as the stores make them, a reader, and databases whose streams fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from app.domain.batch_transitions import pause_batch
from app.domain.batches import Batch
from app.domain.events import Event
from app.domain.records import LogLine
from app.domain.transitions import Stamp
from app.storage.batches import MongoBatchStore
from app.storage.feed import MongoChangeFeed
from app.storage.logs import MongoLogStore
from app.storage.mongo import Database, Document
from tests.support.clock import NOON
from tests.support.wait import until
from tests.unit.domain.builders import a_batch

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


async def insert_batch(mongo: Database) -> Batch:
    batch = replace(a_batch(3, now=NOON), id="batch_1")
    await MongoBatchStore(mongo).insert(batch, [])
    return batch


async def pause_it(mongo: Database, batch: Batch) -> None:
    """It is paused; that all its jobs are then, is told to nobody."""
    batches = MongoBatchStore(mongo)
    change = pause_batch(batch, Stamp(NOON, "ann", "pause"), "lunch")
    assert change is not None and await batches.commit(batch, change)
    await batches.carried_out(batch.id, change.fields["control"])


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


EVERYTHING = [
    "job.state", "job.state", "job.progress", "log.line", "log.line", "node.state", "batch.state", "batch.state",
    "job.state",
]  # fmt: skip


async def everything(mongo: Database) -> None:
    """One of each that the feed tells, and much that it does not."""
    await insert_job(mongo)
    await move_job(mongo, 2, "SCHEDULED", "placed", run_no=1, detail="n1")
    await report_progress(mongo, 0.64)
    lines = [LogLine(n, LATER, "train", "stdout", f"line {n}") for n in (1, 2)]
    await MongoLogStore(mongo).append("job_a", 1, lines)
    await mongo["nodes"].insert_one({"_id": "n1", "last": {"state": "READY", "reason": "registered", "at": NOON}})
    await mongo["nodes"].update_one({"_id": "n1"}, {"$set": {"free.gpu": 3}})
    await pause_it(mongo, await insert_batch(mongo))
    await mongo["jobs"].update_one({"_id": "job_a"}, {"$set": {"wait": "elsewhere"}})
    await mongo["metrics"].insert_one({"_id": "m", "last": {"at": NOON}})
    await mongo["leases"].insert_one({"_id": "l", "last": {"at": NOON}})
    await mongo["jobs"].delete_one({"_id": "job_a"})
    await insert_job(mongo, "job_z")


async def what_stays(mongo: Database) -> None:
    """Eight events of things that stay, since polling cannot tell of what is gone."""
    await insert_job(mongo)
    await move_job(mongo, 2, "SCHEDULED", "placed", run_no=1)
    await move_job(mongo, 3, "RUNNING", "started", run_no=1)
    await report_progress(mongo, 0.64)
    await MongoLogStore(mongo).append("job_a", 1, [LogLine(n, LATER, "train", "log", "x") for n in (1, 2)])
    await mongo["nodes"].insert_one({"_id": "n1", "last": {"state": "READY", "reason": "registered", "at": NOON}})
    await insert_batch(mongo)


class Breaking:
    """A database whose change streams fail: each takes the next failure, which strikes after `after` changes."""

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
