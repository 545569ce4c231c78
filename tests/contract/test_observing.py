"""What is told of the stores' operations: how long each took, what failed, and nothing of what only waits."""

from __future__ import annotations

from collections import Counter

import pytest
from pymongo.errors import OperationFailure, PyMongoError

from app.domain.errors import Unavailable
from app.domain.ports import SCHEDULER_BELL
from app.storage.bells import RedisBells
from app.storage.lua import Scripts
from app.storage.mongo import Driver, connect
from app.storage.redis import call
from app.storage.redis import connect as connect_redis
from tests.contract.conftest import DRIVERS
from tests.support.wait import until


class Told:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.seconds = 0.0

    def took(self, store: str, operation: str, seconds: float) -> None:
        self.answered[store, operation] += 1
        self.seconds += seconds

    def failed(self, store: str, operation: str) -> None:
        self.refused[store, operation] += 1


@pytest.mark.parametrize("driver", DRIVERS)
async def test_mongodb_s_operations_by_name(mongo_uri: str, database: str, driver: Driver) -> None:
    told = Told()
    handle = connect(mongo_uri, database, driver=driver, observer=told)
    things = handle["things"]
    await things.insert_many([{"_id": n} for n in range(5)])
    await things.find({}).batch_size(2).to_list(None)
    await things.update_one({"_id": 1}, {"$set": {"n": 1}})
    assert [d async for d in handle.aggregate("things", [{"$match": {"n": 1}}])]
    with pytest.raises(OperationFailure):
        await things.find({"$nonsense": 1}).to_list(None)
    await handle.close()
    mongo = {operation: n for (_, operation), n in told.answered.items() if operation != "other"}
    assert mongo == {"insert": 1, "find": 1, "update": 1, "aggregate": 1}, "reading on in a cursor is none"
    assert told.refused == {("mongo", "find"): 1}
    assert told.seconds > 0


async def test_a_mongodb_that_is_not_there_is_told_again_and_again() -> None:
    told = Told()
    handle = connect("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300", "db", observer=told)
    with pytest.raises(PyMongoError):
        await handle["things"].find_one({})
    await until(lambda: told.refused["mongo", "connect"] >= 1)
    await handle.close()
    assert not told.answered


async def test_redis_operations_by_what_they_are(redis_url: str) -> None:
    told = Told()
    client = connect_redis(redis_url, told)
    scripts = Scripts(client, "tf:observed")
    await client.script_flush()
    await scripts.run("heads")
    await call(client.set("tf:observed:x", "1"))
    await call(client.get("tf:observed:x"))
    pipe = client.pipeline()
    pipe.get("tf:observed:x")
    pipe.delete("tf:observed:x")
    assert await pipe.execute() == [b"1", 1]
    bells = RedisBells(client, "tf:observed")
    await bells.ring(SCHEDULER_BELL)
    with pytest.raises(Unavailable):
        await call(client.execute_command("NONSENSE"))
    await client.aclose()
    assert {name for _, name in told.answered} >= {"script", "write", "read", "pipeline", "publish"}
    assert told.refused == {("redis", "other"): 1}, "a script that the server has forgotten is no failure"


async def test_a_redis_that_is_not_there_is_a_failure_to_connect() -> None:
    told = Told()
    client = connect_redis("redis://127.0.0.1:1", told)
    with pytest.raises(Unavailable):
        await call(client.get("x"))
    pipe = client.pipeline()
    pipe.get("x")
    with pytest.raises(Unavailable):
        await call(pipe.execute())
    await client.aclose()
    assert told.refused == {("redis", "connect"): 2}
