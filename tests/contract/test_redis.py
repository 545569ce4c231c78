"""The connection to Redis: what it tells of the server, and what its faults become."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.domain.errors import Unavailable
from app.storage.redis import call, connect, facts
from tests.contract.conftest import silent
from tests.support.wait import until


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as client:
        yield client


async def test_facts_tell_product_version_and_policy(redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    found = await facts(redis)
    assert (found.product, found.maxmemory_policy, found.evicts) == ("Valkey", "noeviction", False)
    assert found.version[0].isdigit()
    assert "redis.evicts" not in capsys.readouterr().out


async def test_a_server_that_evicts_is_warned_of(redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert (await facts(redis)).evicts
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
    assert "redis.evicts" in capsys.readouterr().out


async def test_an_answer_that_does_not_come_is_unavailable(redis_url: str, redis: Redis) -> None:
    async with connect(f"{redis_url}?socket_timeout=0.05") as impatient:
        await until(lambda: _answers(impatient))
        async with silent(redis):
            with pytest.raises(Unavailable) as caught:
                await call(impatient.ping())
    assert isinstance(caught.value.__cause__, RedisError)


async def _answers(redis: Redis) -> bool:
    with suppress(Unavailable):
        return bool(await call(redis.ping()))
    return False


async def test_a_cancelled_caller_does_not_cancel_the_operation(redis: Redis) -> None:
    done = asyncio.Event()

    async def operation() -> None:
        await redis.set("written", "yes")
        done.set()

    caller = asyncio.create_task(call(operation()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.wait_for(done.wait(), 60)
    assert await redis.get("written") == b"yes"
