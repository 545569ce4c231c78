"""The connection: what is refused at the start, and that both drivers answer alike."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC

import pytest

from app.domain.errors import Unavailable
from app.startup import StartupTrouble
from app.storage.failures import answered, until_answered
from app.storage.jobs import MongoJobStore
from app.storage.mongo import Database, Driver, connect, describe, verify
from tests.contract.conftest import DRIVERS
from tests.unit.domain.builders import a_job


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Driver:
    found: Driver = request.param
    return found


NOBODY = "mongodb://ada:secret@127.0.0.1:1/?replicaSet=rs0&serverSelectionTimeoutMS=300"


async def test_facts(mongo: Database) -> None:
    facts = await verify(mongo)
    assert facts == await describe(mongo)
    assert facts.version.count(".") == 2
    assert facts.set_name


async def test_no_address_weakens_what_every_promise_stands_on(driver: Driver) -> None:
    weak = "mongodb://127.0.0.1:1/?w=1&readConcernLevel=local&readPreference=secondaryPreferred&retryWrites=false"
    handle = connect(weak, "db", driver=driver)
    jobs = handle.raw["jobs"]
    assert jobs.write_concern.document["w"] == "majority"
    assert jobs.read_concern.level == "majority"
    assert jobs.read_preference.name == "Primary"
    await handle.close()


async def test_times_are_aware_and_utc_everywhere(mongo: Database) -> None:
    assert (await mongo.command("hello"))["localTime"].tzinfo is UTC
    await MongoJobStore(mongo).insert(a_job().job)
    document = await mongo["jobs"].find_one({})
    assert document is not None
    assert document["submitted_at"].tzinfo is UTC


async def test_aggregate_and_watch_over_either_driver(mongo: Database) -> None:
    await mongo["things"].insert_one({"_id": 1, "n": 2})
    assert [d async for d in mongo.aggregate("things", [{"$match": {"n": 2}}])] == [{"_id": 1, "n": 2}]
    async with mongo.watch([]) as stream:
        await mongo["things"].insert_one({"_id": 2})
        change = await anext(aiter(stream))
        assert change["documentKey"] == {"_id": 2}


async def test_writes_are_durable_whatever_the_address_says(mongo_uri: str, database: str, driver: Driver) -> None:
    mongo = connect(f"{mongo_uri}{'&' if '?' in mongo_uri else '/?'}w=0&socketTimeoutMS=1234", database, driver=driver)
    try:
        assert mongo.raw.write_concern.document["w"] == "majority"
        assert mongo.raw.read_concern.level == "majority"
        options = mongo.client.options.pool_options
        assert (options.socket_timeout, options.connect_timeout) == (1.234, 5.0)
    finally:
        await mongo.close()


async def test_nobody_there(driver: Driver) -> None:
    mongo = connect(NOBODY, "tensorfleet", driver=driver)
    with pytest.raises(StartupTrouble, match=r"127\.0\.0\.1:1 did not answer") as refused:
        await verify(mongo)
    assert "secret" not in refused.value.message
    assert "secret" not in repr(mongo)
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        await MongoJobStore(mongo, patience=0.5).insert(a_job().job)
    with pytest.raises(Unavailable):
        await MongoJobStore(mongo).get("job_1")
    assert time.monotonic() - begun < 15
    await mongo.close()


@pytest.mark.parametrize("uri", ["mongodb://", "mongodb://ada:secret@:x/", "mongodb://h:99999999/"])
def test_a_wrong_address_is_said_without_its_secret(uri: str, driver: Driver) -> None:
    with pytest.raises(StartupTrouble, match="MONGODB_URI cannot be used") as refused:
        connect(uri, "tensorfleet", driver=driver)
    assert "secret" not in refused.value.message


async def test_a_failure_that_was_answered_is_not_sent_again(mongo: Database) -> None:
    calls = 0

    async def wrong() -> None:
        nonlocal calls
        calls += 1
        await mongo.command("noSuchCommand")

    with pytest.raises(Exception, match="no such command"):
        await until_answered(wrong)
    assert calls == 1
    with pytest.raises(Exception, match="no such command"), answered():
        await mongo.command("noSuchCommand")


async def test_callers_that_leave_do_not_take_others_with_them(mongo: Database) -> None:
    store = MongoJobStore(mongo)
    jobs = [a_job().job for _ in range(20)]
    tasks = [asyncio.create_task(store.insert(job)) for job in jobs]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [r for n, r in enumerate(results) if n % 2] == [None] * 10
    assert len(await store.get_many(j.id for j in jobs[1::2])) == 10
