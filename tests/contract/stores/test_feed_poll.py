"""Without change streams the store is polled, and the same is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pymongo.errors import OperationFailure

from app.domain.events import Event
from app.storage.feed import MongoChangeFeed
from app.storage.feed.token import WatchPoint
from app.storage.mongo import Database
from tests.contract.stores.feed_world import (
    SUBJECT,
    Breaking,
    entry,
    insert_job,
    move_job,
    reading,
    what_stays,
)
from tests.support.clock import NOON
from tests.support.wait import until


class WithoutStreams(Breaking):
    """A database that has no change streams."""

    @asynccontextmanager
    async def watch(self, pipeline: Any, **options: Any) -> AsyncIterator[Any]:
        raise OperationFailure("The $changeStream stage is only supported on replica sets", 40573)
        yield


def polled(mongo: Database) -> MongoChangeFeed:
    return MongoChangeFeed(WithoutStreams(mongo, []), poll_seconds=0.05)  # type: ignore[arg-type]


def sorted_without_tokens(events: list[Event]) -> list[Event]:
    """So that two ways of telling compare."""
    return sorted((replace(e, token=None) for e in events), key=lambda e: (e.type, str(e.data)))


async def test_polling_tells_the_same_events(mongo: Database) -> None:
    watching, polling = MongoChangeFeed(mongo), polled(mongo)
    async with reading(watching) as watched, reading(polling) as asked:
        assert (watching.mode, polling.mode) == ("watch", "poll")
        await what_stays(mongo)
        assert sorted_without_tokens(await asked.some(8)) == sorted_without_tokens(await watched.some(8))


async def test_a_token_of_now_is_there_before_polling_was_found_out(mongo: Database) -> None:
    await insert_job(mongo)
    feed = polled(mongo)
    token = await feed.token_now()
    assert feed.mode == "poll"
    assert await feed.valid_token(token)
    await move_job(mongo, 2, "QUEUED", "eligible")
    async with reading(feed, token) as reader:
        await until(lambda: 2 in [e.data["seq"] for e in reader.events])


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


async def test_polling_from_the_past_tells_it_in_its_first_round(mongo: Database) -> None:
    await what_stays(mongo)
    feed = polled(mongo)
    async with reading(feed, await feed.token_before(timedelta(minutes=5))) as reader:
        await feed.caught_up()
        assert len(reader.events) == 8
        assert "resync" not in reader.types()


async def test_polling_answers_the_token_of_a_change_stream_with_a_resync(mongo: Database) -> None:
    async with reading(polled(mongo), WatchPoint("82" + "00" * 16).text) as reader:
        await reader.some(1)
        await insert_job(mongo)
        await reader.some(2)
        assert reader.types() == ["resync", "job.state"]


async def test_the_index_that_polling_needs_is_made_when_polling_begins(mongo: Database) -> None:
    async with reading(polled(mongo)):
        found = await mongo.command("listIndexes", value="jobs")
    assert "last_at" in {index["name"] for index in found["cursor"]["firstBatch"]}
