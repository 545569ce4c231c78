"""The dispatcher: what every adapter promises, and what arq makes of messages good and bad."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from arq import Worker
from arq.connections import ArqRedis
from redis.asyncio import Redis

from app.domain.dispatch import Assignment, encode_message
from app.domain.errors import Unavailable
from app.domain.ports import Bells, Dispatcher, node_bell
from app.storage import dispatcher as arq_dispatcher
from app.storage.bells import RedisBells
from app.storage.dispatcher import ArqDispatcher, arq_pool, doorbell_worker, drain_doorbell, refused_messages
from app.storage.memory.bells import MemoryBells
from app.storage.memory.dispatcher import MemoryDispatcher
from app.storage.redis import connect
from tests.support.wait import until

NODE, QUEUE = "node-1", "tf:test:arq:node-1"


@dataclass
class Doorbell:
    """A node's side over Redis."""

    redis: Redis
    pool: ArqRedis
    worker: Worker
    got: list[list[Assignment]] = field(default_factory=list)

    async def drain(self) -> list[list[Assignment]]:
        self.got.clear()
        await drain_doorbell(self.worker)
        return list(self.got)

    async def leave(self, message_id: str, data: bytes, at: int = 1) -> None:
        """Put bytes where arq looks for messages."""
        await self.redis.set(f"arq:job:{message_id}", data)
        await self.redis.zadd(QUEUE, {message_id: at})


@pytest.fixture
async def doorbell(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Doorbell]:
    """Its drains have time, however busy the machine."""
    monkeypatch.setattr(arq_dispatcher, "DRAIN_SECONDS", 60.0)
    async with connect(redis_url) as redis:
        pool = arq_pool(redis, "tf:test")

        async def take(assignments: list[Assignment]) -> None:
            doorbell.got.append(assignments)

        doorbell = Doorbell(redis, pool, doorbell_worker(pool, NODE, take))
        yield doorbell


@dataclass
class Subject:
    dispatcher: Dispatcher
    bells: Bells
    take: Callable[[], Awaitable[list[Assignment]]]


@pytest.fixture(params=["redis", "memory"])
async def subject(request: pytest.FixtureRequest, doorbell: Doorbell) -> Subject:
    if request.param == "memory":
        bells = MemoryBells()
        dispatcher = MemoryDispatcher(bells)

        async def take() -> list[Assignment]:
            return dispatcher.take(NODE)

        return Subject(dispatcher, bells, take)
    redis_bells = RedisBells(doorbell.redis, "tf:test")

    async def drain() -> list[Assignment]:
        return [assignment for message in await doorbell.drain() for assignment in message]

    return Subject(ArqDispatcher(doorbell.pool, redis_bells), redis_bells, drain)


class TestEvery:
    async def test_a_node_gets_its_assignments_and_a_ring(self, subject: Subject) -> None:
        async with subject.bells.listen(node_bell(NODE)) as waker:
            await subject.dispatcher.dispatch(NODE, [("job_a", 1), ("job_b", 7)])
            assert await waker.wait(60)
        assert await subject.take() == [("job_a", 1), ("job_b", 7)]
        assert await subject.take() == []

    async def test_a_node_gets_nothing_of_another(self, subject: Subject) -> None:
        await subject.dispatcher.dispatch("node-2", [("job_a", 1)])
        assert await subject.take() == []

    async def test_ringing_again_is_not_silent(self, subject: Subject) -> None:
        for _ in range(2):
            await subject.dispatcher.dispatch(NODE, [("job_a", 1)])
            assert await subject.take() == [("job_a", 1)]

    async def test_messages_gather_until_they_are_taken(self, subject: Subject) -> None:
        for n in range(1, 31):
            await subject.dispatcher.dispatch(NODE, [(f"job_{n}", n)])
        assert sorted(await subject.take(), key=lambda a: a[1]) == [(f"job_{n}", n) for n in range(1, 31)]

    async def test_nothing_to_assign_is_no_message(self, subject: Subject) -> None:
        async with subject.bells.listen(node_bell(NODE)) as waker:
            await subject.dispatcher.dispatch(NODE, [])
            assert not await waker.wait(0.05)
        assert await subject.take() == []


async def everything_stored(redis: Redis) -> list[bytes]:
    """Every key, member and value in Redis."""
    found: list[bytes] = []
    for key in await redis.keys():
        kind = await redis.type(key)
        found.append(key)
        if kind == b"string":
            found.append(await redis.get(key))
        elif kind == b"zset":
            found += await redis.zrange(key, 0, -1)
        else:
            raise AssertionError(f"{key!r} is a {kind!r}")
    return found


def looks_pickled(data: bytes) -> bool:
    """Every pickle since protocol 2 opens with its number and ends with a full stop."""
    return data[:1] == b"\x80" and data[-1:] == b"."


class TestFormat:
    async def test_no_pickle_byte_is_written(self, doorbell: Doorbell) -> None:
        bells = RedisBells(doorbell.redis, "tf:test")
        await ArqDispatcher(doorbell.pool, bells).dispatch(NODE, [("job_a", 1)])
        stored = await everything_stored(doorbell.redis)
        assert not any(looks_pickled(data) for data in stored)
        [message] = [orjson.loads(data) for data in stored if data.startswith(b"{")]
        assert message["a"] == [{"assignments": [["job_a", 1]]}]
        await doorbell.drain()
        assert not any(looks_pickled(data) for data in await everything_stored(doorbell.redis))

    async def test_the_scan_would_find_one(self, doorbell: Doorbell) -> None:
        """The control: arq's own default writes pickle."""
        await ArqRedis(doorbell.redis.connection_pool).enqueue_job("assignments", {"assignments": []})
        assert any(looks_pickled(data) for data in await everything_stored(doorbell.redis))

    async def test_messages_and_queues_do_not_stay(self, doorbell: Doorbell) -> None:
        await ArqDispatcher(doorbell.pool, MemoryBells()).dispatch(NODE, [("job_a", 1)])
        lives = {key: await doorbell.redis.ttl(key) for key in await doorbell.redis.keys()}
        assert len(lives) == 2
        assert all(0 < seconds <= arq_dispatcher.QUEUE_SECONDS for seconds in lives.values())
        assert max(s for key, s in lives.items() if key.startswith(b"arq:job:")) <= 60

    async def test_a_drain_leaves_no_result(self, doorbell: Doorbell) -> None:
        await ArqDispatcher(doorbell.pool, MemoryBells()).dispatch(NODE, [("job_a", 1)])
        await doorbell.drain()
        assert await doorbell.redis.keys("arq:*") == []
        assert await doorbell.redis.zcard(QUEUE) == 0


def envelope(**changes: Any) -> bytes:
    good = {"t": None, "f": "assignments", "a": [encode_message([("job_a", 1)])], "k": {}, "et": 1}
    return orjson.dumps({**good, **changes})


BAD = {
    "no JSON": b"\xff\x00",
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01t\x94Ns.",
    "no object": b"[1, 2]",
    "another function": envelope(f="os.system"),
    "a function that is no name": envelope(f=["assignments"]),
    "named arguments": envelope(k={"x": 1}),
    "two messages": envelope(a=[encode_message([("job_a", 1)])] * 2),
    "no message": envelope(a=[]),
    "a try": envelope(t=3),
    "a dotted id": envelope(a=[{"assignments": [["job.a", 1]]}]),
    "a run number of text": envelope(a=[{"assignments": [["job_a", "1"]]}]),
    "more fields": envelope(a=[{"assignments": [["job_a", 1]], "command": "rm"}]),
}


class TestBadMessages:
    async def test_the_good_envelope_is_taken(self, doorbell: Doorbell) -> None:
        """The control of those below."""
        await doorbell.leave("m", envelope())
        assert await doorbell.drain() == [[("job_a", 1)]]

    @pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
    async def test_is_dropped_and_counted_and_does_not_stop_others(self, doorbell: Doorbell, data: bytes) -> None:
        await doorbell.leave("bad", data, at=1)
        await doorbell.leave("good", envelope(), at=2)
        assert await doorbell.drain() == [[("job_a", 1)]]
        assert refused_messages(doorbell.worker) == 1
        assert await doorbell.redis.zcard(QUEUE) == 0
        assert await doorbell.redis.keys("arq:*") == []

    async def test_a_message_that_expired_is_dropped(self, doorbell: Doorbell) -> None:
        await doorbell.redis.zadd(QUEUE, {"expired": 1})
        assert await doorbell.drain() == []
        assert await doorbell.redis.zcard(QUEUE) == 0

    @pytest.mark.parametrize("spoil", ["a member that is no text", "a queue of another type"])
    async def test_a_queue_that_arq_chokes_on_is_thrown_away(self, doorbell: Doorbell, spoil: str) -> None:
        if spoil == "a queue of another type":
            await doorbell.redis.set(QUEUE, "x")
        else:
            await doorbell.redis.zadd(QUEUE, {b"\xff\xfe": 1})
        assert await doorbell.drain() == []
        assert refused_messages(doorbell.worker) == 1
        await doorbell.leave("good", envelope())
        assert await doorbell.drain() == [[("job_a", 1)]]

    async def test_a_message_that_cannot_be_begun_does_not_hold_the_drain(
        self, doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(arq_dispatcher, "DRAIN_SECONDS", 0.2)
        await doorbell.redis.set("arq:in-progress:taken", b"1")
        await doorbell.leave("taken", envelope(), at=1)
        await doorbell.leave("good", envelope(), at=2)
        assert await until(doorbell.drain) == [[("job_a", 1)]]


class TestTroubles:
    async def test_a_handler_that_raises_stops_nothing(self, doorbell: Doorbell) -> None:
        seen: list[list[Assignment]] = []

        async def fail(assignments: list[Assignment]) -> None:
            seen.append(assignments)
            raise RuntimeError("the store is away")

        worker = doorbell_worker(doorbell.pool, NODE, fail)
        for _ in range(2):
            await doorbell.leave("m", envelope())
            await drain_doorbell(worker)
        assert len(seen) == 2
        assert await doorbell.redis.keys("arq:*") == []

    async def test_a_cancelled_drain_leaves_at_once_and_arq_comes_to_its_end(self, doorbell: Doorbell) -> None:
        for n in range(50):
            await doorbell.redis.set("arq:in-progress:taken", b"1")
            await doorbell.leave("taken", envelope())
            draining = asyncio.create_task(doorbell.drain())
            asyncio.get_running_loop().call_later(n / 5_000, draining.cancel)
            await asyncio.wait([draining], timeout=30)
            assert draining.cancelled()
            if (burst := doorbell.worker.main_task) is not None:
                await asyncio.wait([burst], timeout=30)
                assert burst.done()

    async def test_an_absent_server_is_unavailable(self) -> None:
        async def take(_: list[Assignment]) -> None:
            raise AssertionError("nothing can come")

        async with connect("redis://127.0.0.1:1/0") as nowhere:
            pool = arq_pool(nowhere, "tf:test")
            with pytest.raises(Unavailable):
                await ArqDispatcher(pool, MemoryBells()).dispatch(NODE, [("job_a", 1)])
            worker = doorbell_worker(pool, NODE, take)
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await drain_doorbell(worker)
