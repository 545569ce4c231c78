"""What cannot be resumed is said once, and the feed goes on: bad tokens, dropped data, broken connections."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, InvalidOperation, OperationFailure

from app.storage.feed import MongoChangeFeed
from app.storage.feed.feed import Verdict, judge
from app.storage.mongo import Database
from tests.contract.stores.feed_world import (
    EVERYTHING,
    Breaking,
    everything,
    insert_job,
    move_job,
    reading,
)

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


@pytest.mark.parametrize("data", ["00" * 16, "6b05785f00000002" + "ff" * 30])
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
            await reader.some(2 * seq - 1)
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


async def test_a_history_shorter_than_what_is_asked_for_gives_one_resync_and_is_caught_up(mongo: Database) -> None:
    await insert_job(mongo)
    breaking = Breaking(mongo, [])
    feed = MongoChangeFeed(breaking)  # type: ignore[arg-type]
    token = await feed.token_before(timedelta(minutes=5))
    breaking.failures.append(OperationFailure("lost", 286))
    async with reading(feed, token) as reader:
        await feed.caught_up()
        await move_job(mongo, 2, "SCHEDULED", "placed")
        await reader.some(2)
        assert reader.types() == ["resync", "job.state"]


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
