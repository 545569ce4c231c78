"""The stores over both drivers and in memory: a test that takes `stores` runs over all three, with `mongo` over two."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from redis.asyncio import Redis

from app.clock import SystemClock
from app.domain.job import Job
from app.domain.ports import AnswerStore, JobStore, LeaseStore, NodeStore
from app.domain.records import StoredAnswer
from app.storage import bells
from app.storage.answers import MongoAnswerStore
from app.storage.indexes import INDEXES, ensure_indexes
from app.storage.jobs import MongoJobStore
from app.storage.leases import MongoLeaseStore
from app.storage.memory.answers import MemoryAnswerStore
from app.storage.memory.jobs import MemoryJobStore
from app.storage.memory.leases import MemoryLeaseStore
from app.storage.memory.nodes import MemoryNodeStore
from app.storage.mongo import Database, Driver, connect
from app.storage.nodes import MongoNodeStore
from tests.unit.domain.builders import JobBuilder

JUST_NOW = SystemClock().now().replace(microsecond=0)
DRIVERS: tuple[Driver, ...] = get_args(Driver)


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one kind. `mongo` is None in memory."""

    jobs: JobStore
    nodes: NodeStore
    leases: LeaseStore
    answers: AnswerStore
    mongo: Database | None


@pytest.fixture(params=DRIVERS)
async def mongo(request: pytest.FixtureRequest, mongo_uri: str, database: str) -> AsyncIterator[Database]:
    """An empty database over either driver."""
    handle = connect(mongo_uri, database, driver=request.param)
    yield handle
    await handle.close()


@pytest.fixture(params=(*DRIVERS, "memory"))
async def stores(request: pytest.FixtureRequest, mongo_uri: str, database: str) -> AsyncIterator[Stores]:
    """Empty stores."""
    if request.param == "memory":
        yield memory_stores()
        return
    handle = connect(mongo_uri, database, driver=request.param)
    await ensure_indexes(handle, {"jobs": [index for index in INDEXES["jobs"] if index.document.get("unique")]})
    yield Stores(
        MongoJobStore(handle), MongoNodeStore(handle), MongoLeaseStore(handle), MongoAnswerStore(handle), handle
    )
    await handle.close()


def memory_stores() -> Stores:
    clock, answers = SystemClock(), MemoryAnswerStore()
    leases = MemoryLeaseStore(clock)
    return Stores(MemoryJobStore(clock), MemoryNodeStore(leases), leases, answers, None)


@asynccontextmanager
async def silent(redis: Redis) -> AsyncIterator[None]:
    """The server stands still meanwhile: to a client it is as one at the far end of a cut line."""
    pid = (await redis.info("server"))["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(autouse=True)
def _bells_have_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bell is a hint that may be lost where Redis is slow; here none is, however busy the machine."""
    monkeypatch.setattr(bells, "RING_SECONDS", 30.0)
    monkeypatch.setattr(bells, "PATIENCE", 30.0)


async def inserted(stores: Stores, *builders: JobBuilder) -> list[Job]:
    """These jobs, stored."""
    for builder in builders:
        await stores.jobs.insert(builder.job)
    return [b.job for b in builders]


def ids(jobs: Any) -> list[str]:
    return [job.id for job in jobs]


def answer(key: str, text: bytes = b'{"job_id": "job_1"}') -> StoredAnswer:
    """What is stored under a key, just now."""
    return StoredAnswer(key, "digest", 201, text, JUST_NOW)
