"""An empty index, in Valkey and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from app.domain.ports import Bells, QueueIndex
from app.domain.priority import Priority
from app.storage.bells import RedisBells
from app.storage.memory.bells import MemoryBells
from app.storage.memory.queue_index import MemoryQueueIndex
from app.storage.queue_index import RedisQueueIndex
from app.storage.redis import connect

URGENT, HIGH, NORMAL, LOW = Priority


@dataclass
class Subject:
    index: QueueIndex
    bells: Bells
    lose: Callable[[], Awaitable[object]]


@pytest.fixture(params=["redis", "memory"])
async def subject(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Subject]:
    if request.param == "memory":
        bells = MemoryBells()
        index = MemoryQueueIndex(bells)

        async def lose() -> None:
            index.lose()

        yield Subject(index, bells, lose)
    else:
        async with connect(redis_url) as redis:
            yield Subject(RedisQueueIndex(redis, "tf:test"), RedisBells(redis, "tf:test"), redis.flushall)


@pytest.fixture
def index(subject: Subject) -> QueueIndex:
    return subject.index


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as client:
        yield client


async def ids(index: QueueIndex) -> list[str]:
    return [waiting.member.job_id for waiting in await index.listing(None, 10_000)]
