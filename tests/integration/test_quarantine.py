"""A thousand fuzzed documents and messages in the real stores: every loop lives, and the work of others goes on.

Each protection is shown to be needed: the same world without it comes to a stand.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import DatetimeMS, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import BulkWriteError
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.api.hub import Hub
from app.bootstrap import open_services
from app.config import load_settings
from app.domain.builtin_templates import builtin_templates
from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.nodes import Node, NodeState
from app.domain.ports import node_lease
from app.domain.queueing import ticket_of
from app.domain.resources import Vector
from app.domain.states import JobStatus
from app.lifecycle import ServiceGroup
from app.metrics import Metrics
from app.scheduler.service import SchedulerService
from app.services import Services
from app.storage.dispatcher import ArqDispatcher, doorbell_worker, drain_doorbell, refused_messages
from app.storage.documents import job_document
from app.storage.node_documents import registration
from app.storage.quarantine import COPY_BYTES, Reading
from app.storage.queue_index import STRUCTURES, RedisQueueIndex
from tests.integration.conftest import have_time
from tests.support.leases import taken
from tests.support.wait import until
from tests.unit.domain.builders import a_job

Document = dict[str, Any]
NODE = "node-good"
ROOM = Vector.from_units({"cpu_cores": 64, "memory_gb": 256, "gpu_count": 0, "storage_gb": 1000})
SMALL = {"cpu_cores": 1, "memory_gb": 1, "gpu_count": 0, "storage_gb": 0}
LONG_PAST = datetime(2020, 1, 1, tzinfo=UTC)
RUBBISH: tuple[Any, ...] = (
    None, "", "x" * 20_000, -1, 2**62, 0.5, float("nan"), float("inf"), True, [], {}, [None], [{}], {"$where": "1"},
    ObjectId(), DatetimeMS(2**60), DatetimeMS(-(2**60)), b"\xff\x00", LONG_PAST,
)  # fmt: skip
LIVE = ["QUEUED", "SCHEDULED", "RUNNING", "RETRYING", "SUBMITTED", "PAUSED"]


def spoiled(chance: random.Random, original: Mapping[str, Any], key: Any) -> Document:
    """The document with one to four of its fields replaced or taken away."""
    document = {**original, "_id": key}
    for name in chance.sample(list(original), chance.randint(1, min(4, len(original)))):
        if name == "_id":
            continue
        if chance.random() < 0.25:
            document.pop(name, None)
        else:
            document[name] = chance.choice(RUBBISH)
    return document


def spoiled_job(chance: random.Random, number: int) -> Document:
    """Of a state that loops look at, due long before every good one."""
    job = replace(a_job(resources=SMALL).job, retry_at=LONG_PAST, start_after=LONG_PAST, scheduled_at=LONG_PAST)
    document = spoiled(chance, {**job_document(job), "submitted_at": LONG_PAST}, f"job_bad{number:04}")
    return document | {"status": chance.choice(LIVE), "node_id": chance.choice([NODE, "node-?", None])}


def due_and_bad(number: int) -> Document:
    """One of many that stand before every good one among those that are due."""
    job = replace(a_job(resources=SMALL).job, status=JobStatus.RETRYING, retry_at=LONG_PAST)
    return job_document(job) | {"_id": f"job_due{number:04}", "metadata": "torn"}


def undecodable(key: str) -> RawBSONDocument:
    """A job whose name is no UTF-8."""
    text = b"\xff\xfe\0"
    fields = b"\x02_id\0" + (len(key) + 1).to_bytes(4, "little") + key.encode() + b"\0"
    fields += b"\x02status\0" + (7).to_bytes(4, "little") + b"QUEUED\0"
    fields += b"\x02name\0" + len(text).to_bytes(4, "little") + text
    return RawBSONDocument((len(fields) + 5).to_bytes(4, "little") + fields + b"\0")


def spoil_documents(database: Any, chance: random.Random) -> int:
    """In every collection that a loop reads. Answers how many."""
    jobs = [spoiled_job(chance, n) for n in range(300)] + [due_and_bad(n) for n in range(700)]
    [what, *_] = registration(Node("n", NodeState.READY, 1, {}, ROOM, ROOM))
    node = {**what["$set"], "labels": {}, "facts": {}, "allocations": {}, "free": {}, "registered_at": LONG_PAST}
    lease = {"holder": "h", "epoch": 1, "until": LONG_PAST}
    template = next(iter(builtin_templates().values()))
    layer = {"id": "t", "version": 1, "title": template.id, "parameters": [], "execution_steps": []}
    spoils: dict[str, list[Document]] = {
        "jobs": jobs,
        "nodes": [spoiled(chance, node, chance.choice([f"bad-{n}", n])) for n in range(60)],
        "leases": [spoiled(chance, lease, node_lease(f"bad-{n}")) for n in range(60)],
        "templates": [spoiled(chance, layer, f"t{n}:1") for n in range(30)],
        "datasets": [spoiled(chance, {"path": "p", "description": "", "facts": {}}, f"d{n}") for n in range(20)],
    }
    for name, documents in spoils.items():
        with suppress(BulkWriteError):  # some are so bad that an index refuses them
            database[name].insert_many(documents, ordered=False)
    database["jobs"].insert_one(undecodable("job_undecodable"))
    return sum(database[name].count_documents({}) for name in spoils)


async def spoil_redis(redis: Redis, space: str, chance: random.Random) -> None:
    """Every structure of the index is of a wrong type, or holds what is none of ours; so does the node's door."""
    await redis.set(f"{space}:epoch", "an index that was built")
    for name in STRUCTURES:
        if name != "epoch" and chance.random() < 0.4:
            await redis.delete(f"{space}:{name}")
            await redis.rpush(f"{space}:{name}", chance.randbytes(20))
    if await redis.type(f"{space}:bucket") in {b"none", b"hash"}:
        await redis.hset(f"{space}:bucket", mapping={b"\xff": b"{", "torn": "[]"})
        for bucket in (b"\xff", b"torn"):
            await redis.zadd(f"{space}:b:".encode() + bucket, {b"\xfe": 1.0})
    await redis.set(f"{space}:board", chance.randbytes(50))
    for n in range(50):
        await redis.set(f"arq:job:{n}", chance.randbytes(30))
        await redis.zadd(f"{space}:arq:{NODE}", {str(n): 1})


class World:
    """Spoiled stores, and the loops of an API process over them."""

    def __init__(self, services: Services, redis: Redis, space: str, database: Any) -> None:
        self.services = services
        self.redis = redis
        self.space = space
        self.database = database
        self.metrics = Metrics()
        self.hub = Hub(services.feed, self.metrics)
        self.scheduler = SchedulerService(services, self.metrics)
        self.loops = ServiceGroup("loops", [self.hub, self.scheduler])

    async def good_jobs(self, count: int = 20) -> list[Job]:
        """Some that are indexed, and one that waits for the end of its retry delay behind all the bad ones."""
        jobs = [a_job(name=f"good-{n}", resources=SMALL).job for n in range(count)]
        for job in jobs:
            await self.services.jobs.insert(job)
            with suppress(Unavailable):  # the reconciler finds what the spoiled index refuses
                await self.services.queue.enqueue([ticket_of(job)])
        retrying = replace(a_job(resources=SMALL).job, status=JobStatus.RETRYING, retry_at=LONG_PAST + timedelta(1))
        await self.services.jobs.insert(retrying)
        return [*jobs, retrying]

    def all_scheduled(self, jobs: Iterable[Job]) -> Callable[[], Awaitable[bool]]:
        ids = [job.id for job in jobs]

        async def scheduled() -> bool:
            found = await asyncio.to_thread(
                self.database["jobs"].count_documents, {"_id": {"$in": ids}, "status": "SCHEDULED"}
            )
            return bool(found == len(ids))

        return scheduled

    def has_told_of(self, jobs: Iterable[Job]) -> bool:
        return {job.id for job in jobs} <= {told.event.data.get("job_id") for told in self.hub._ring}

    def all_kept(self) -> bool:
        """Whether what the loops have met until now is stored, too."""
        return bool(self.database["quarantine"].count_documents({}) == self.services.quarantine.count)


@pytest.fixture
def open_world(mongo_uri: str, redis_url: str, database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Any]:
    settings = load_settings(
        {
            "MONGODB_URI": mongo_uri, "REDIS_URL": redis_url, "MONGODB_DATABASE": database,
            "MAX_CONCURRENT_JOBS": "0", "RECONCILE_SECONDS": "0.3", "SCHEDULER_INTERVAL_SECONDS": "0.2",
        }
    )  # fmt: skip

    have_time(monkeypatch)

    @asynccontextmanager
    async def opened(seed: int) -> AsyncIterator[World]:
        chance, space = random.Random(seed), f"tf:{database}"
        async with open_services(settings, role="api") as services:
            await taken(services.leases, node_lease(NODE), NODE, timedelta(hours=1))
            await services.nodes.register(Node(NODE, NodeState.READY, 1, {}, ROOM, ROOM))
            with MongoClient[Document](mongo_uri) as client:
                assert spoil_documents(client[database], chance) >= 1_000
                async with Redis.from_url(redis_url) as redis:
                    await spoil_redis(redis, space, chance)
                    world = World(services, redis, space, client[database])
                    async with world.loops:
                        yield world

    return opened


@pytest.mark.parametrize("seed", [1, 2])
async def test_loops_live_and_others_go_on(open_world: Callable[[int], Any], seed: int) -> None:
    async with open_world(seed) as world:
        await asyncio.wait_for(world.hub._opened.wait(), 30)
        jobs = await world.good_jobs()
        await until(world.all_scheduled(jobs), 60, every=0.1, message="good jobs are placed")

        assert world.loops.failures() == {}
        assert world.scheduler.status().trouble is None
        await until(lambda: world.has_told_of(jobs), message="the feed tells of the good ones")
        assert await world.services.jobs.state_counts()
        assert {t.id for t in await world.services.templates.page(500)} >= set(builtin_templates())
        assert NODE in {node.id for node in await world.services.nodes.all()}
        assert await world.services.datasets.all() is not None

        await until(world.all_kept, message="whatever was met is kept")
        kept = list(world.database["quarantine"].find({}))
        assert {"job", "node", "template"} <= {entry["kind"] for entry in kept}
        assert all(len(entry["copy"].encode()) <= COPY_BYTES and entry["why"] for entry in kept)
        assert len(kept) >= 600


async def test_the_door_of_a_node_is_cleared_of_rubbish(open_world: Callable[[int], Any]) -> None:
    async with open_world(3) as world:
        dispatcher = world.services.dispatcher
        assert isinstance(dispatcher, ArqDispatcher)
        inbox: list[tuple[str, int]] = []

        async def take_in(assignments: list[tuple[str, int]]) -> None:
            inbox.extend(assignments)

        worker = doorbell_worker(dispatcher.pool, NODE, take_in)
        await drain_doorbell(worker)
        assert refused_messages(worker) >= 1
        await dispatcher.dispatch(NODE, [("job_a", 1)])
        await drain_doorbell(worker)
        assert ("job_a", 1) in inbox


async def _bare(_self: Reading, documents: Iterable[Mapping[str, Any]], read: Callable[[Any], Any]) -> list[Any]:
    return [read(document) for document in documents]


async def _nothing(_self: RedisQueueIndex, _why: str) -> None:
    """The index is kept as it is."""


@pytest.mark.parametrize(
    ("owner", "name", "without"),
    [(Reading, "each", _bare), (RedisQueueIndex, "_give_up", _nothing)],
    ids=["reading one by one", "giving up a spoiled index"],
)
async def test_without_the_protection_the_work_stands_still(
    open_world: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch, owner: type, name: str, without: Any
) -> None:
    with monkeypatch.context() as patched, capture_logs():
        patched.setattr(owner, name, without)
        async with open_world(1) as world:
            jobs = await world.good_jobs()
            with pytest.raises(AssertionError, match="good jobs"):
                await until(world.all_scheduled(jobs), 8, every=0.1, message="good jobs are placed")
