"""Bells: what every adapter promises, and how the one over Redis lives with a connection that breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.dev.machine import free_port
from app.dev.valkey import Valkey
from app.domain.ports import Bells
from app.storage import bells as redis_bells
from app.storage.bells import RedisBells
from app.storage.memory.bells import MemoryBells
from app.storage.redis import connect
from tests.contract.conftest import silent
from tests.support.wait import until

LONG, SHORT = 60.0, 0.05


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as client:
        yield client


@pytest.fixture(params=["redis", "memory"])
async def bells(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Bells]:
    if request.param == "memory":
        yield MemoryBells()
    else:
        async with connect(redis_url) as redis:
            yield RedisBells(redis, "tf:test")


async def subscribers(redis: Redis, since: int) -> int:
    """How many connections since that one are subscribed: a neighbour may have left older ones."""
    return sum(int(client["id"]) >= since for client in await redis.client_list(_type="pubsub"))


class TestEvery:
    async def test_a_ring_before_the_wait_is_heard(self, bells: Bells) -> None:
        async with bells.listen("door") as waker:
            await bells.ring("door")
            assert await waker.wait(LONG)

    async def test_a_ring_during_the_wait_is_heard(self, bells: Bells) -> None:
        async with bells.listen("door") as waker:
            waiting = asyncio.create_task(waker.wait(LONG))
            await asyncio.sleep(0)
            await bells.ring("door")
            assert await waiting

    async def test_many_rings_are_one(self, bells: Bells) -> None:
        async with bells.listen("door") as waker, bells.listen("last") as last:
            for _ in range(5):
                await bells.ring("door")
            await bells.ring("last")
            assert await last.wait(LONG)
            assert await waker.wait(LONG)
            assert not await waker.wait(SHORT)

    async def test_silence_ends_the_wait_with_false(self, bells: Bells) -> None:
        async with bells.listen("door") as waker:
            assert not await waker.wait(SHORT)

    async def test_all_listeners_of_the_name_hear_and_no_other(self, bells: Bells) -> None:
        async with bells.listen("door") as one, bells.listen("door") as two, bells.listen("gate") as other:
            await bells.ring("door")
            assert await one.wait(LONG)
            assert await two.wait(LONG)
            assert not await other.wait(SHORT)

    async def test_who_left_does_not_disturb_who_stays(self, bells: Bells) -> None:
        async with bells.listen("door") as stays:
            async with bells.listen("door"), bells.listen("gate"):
                pass
            await bells.ring("gate")
            await bells.ring("door")
            assert await stays.wait(LONG)

    async def test_a_name_can_be_listened_to_again(self, bells: Bells) -> None:
        async with bells.listen("other"):
            for _ in range(3):
                async with bells.listen("door") as waker:
                    await bells.ring("door")
                    assert await waker.wait(LONG)

    async def test_a_bell_without_listeners_rings_into_the_air(self, bells: Bells) -> None:
        await bells.ring("door")
        async with bells.listen("door") as waker:
            assert not await waker.wait(SHORT)


class TestRedis:
    async def test_all_listeners_share_one_connection_which_ends_with_the_last(self, redis: Redis) -> None:
        bells, since = RedisBells(redis, "tf:test"), await redis.client_id()
        async with bells.listen("a"), bells.listen("b"), bells.listen("c"):
            assert await subscribers(redis, since) == 1
        assert await until(lambda: _no_subscribers(redis, since))
        async with bells.listen("a") as waker:
            await bells.ring("a")
            assert await waker.wait(LONG)

    async def test_listeners_that_come_while_the_connection_opens_are_all_subscribed(self, redis: Redis) -> None:
        bells, since = RedisBells(redis, "tf:test"), await redis.client_id()

        async def hear(name: str) -> bool:
            async with bells.listen(name) as waker:
                await bells.ring(name)
                return await waker.wait(LONG)

        assert all(await asyncio.gather(*(hear(f"bell{n}") for n in range(20))))
        assert await until(lambda: _no_subscribers(redis, since))

    async def test_processes_hear_each_other(self, redis: Redis, redis_url: str) -> None:
        async with connect(redis_url) as elsewhere, RedisBells(redis, "tf:test").listen("door") as waker:
            await RedisBells(elsewhere, "tf:other").ring("door")
            assert not await waker.wait(SHORT)
            await RedisBells(elsewhere, "tf:test").ring("door")
            assert await waker.wait(LONG)

    async def test_a_broken_connection_comes_back_and_wakes_everyone_once(self, redis: Redis) -> None:
        bells = RedisBells(redis, "tf:test")
        async with bells.listen("a") as a, bells.listen("b") as b:
            await redis.client_kill_filter(_type="pubsub")
            assert await a.wait(LONG)
            assert await b.wait(LONG)
            await until(lambda: _subscribed(redis, "tf:test:bell:a"))
            await bells.ring("a")
            assert await a.wait(LONG)
            assert not await b.wait(SHORT)

    async def test_a_silent_connection_is_given_up(self, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis_bells, "SILENCE", 0.05)
        bells = RedisBells(redis, "tf:test")
        async with bells.listen("door") as waker:
            assert not await waker.wait(0.3), "a line that answers is kept"
            monkeypatch.setattr(redis_bells, "PONG", 0.1)
            with capture_logs() as logs:
                async with silent(redis):
                    await until(lambda: any(line["event"] == "bells.disconnected" for line in logs))
                assert await waker.wait(LONG)

    async def test_without_a_server_nothing_raises_and_its_return_is_noticed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_bells, "PATIENCE", SHORT)
        server = Valkey(tmp_path, free_port())
        async with connect(server.url) as redis:
            bells = RedisBells(redis, "tf:test")
            await bells.ring("door")
            async with asyncio.timeout(90):
                async with bells.listen("door") as waker:
                    assert not await waker.wait(SHORT)
                    await server.start()
                    assert await waker.wait(LONG)
                    await until(lambda: _subscribed(redis, "tf:test:bell:door"))
                    await bells.ring("door")
                    assert await waker.wait(LONG)
                    await server.stop()
                    await bells.ring("door")


async def _no_subscribers(redis: Redis, since: int) -> bool:
    return await subscribers(redis, since) == 0


async def _subscribed(redis: Redis, channel: str) -> bool:
    return bool((await redis.pubsub_numsub(channel))[0][1])
