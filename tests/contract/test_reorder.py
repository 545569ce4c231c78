"""Order by hand over the real stores: what many clients change at once stands in the jobs as it stands in the index."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.domain.errors import Conflict, Invalid
from app.domain.job import Job
from app.domain.priority import Priority
from app.domain.specification import JobRequest
from app.operations.cancel import cancel
from app.operations.priority import set_priority
from app.operations.queue_listing import Bookmark, list_waiting
from app.operations.reorder import reorder
from app.operations.submit import Submitted, submit
from app.services import Services
from app.storage.bells import RedisBells
from app.storage.jobs import MongoJobStore
from app.storage.mongo import connect as mongo_connect
from app.storage.queue_index import RedisQueueIndex
from app.storage.redis import connect
from tests.support.clock import FixedClock
from tests.unit.api.harness import FakeHealth, memory_services

CLIENTS, CHANGES, JOBS = 8, 30, 12


@pytest.fixture
async def services(mongo_uri: str, database: str, redis_url: str) -> AsyncIterator[Services]:
    """Jobs in MongoDB, the index in Redis, all else in memory."""
    handle = mongo_connect(mongo_uri, database)
    async with connect(redis_url) as redis:
        made = memory_services(FixedClock(), FakeHealth())
        index, bells = RedisQueueIndex(redis, "tf:test"), RedisBells(redis, "tf:test")
        yield replace(made, jobs=MongoJobStore(handle), queue=index, bells=bells)
    await handle.close()


async def filled(services: Services, count: int) -> list[str]:
    seen: list[Job] = []

    def render(done: Submitted) -> bytes:
        seen.append(done.job)
        return b""

    for n in range(count):
        await submit(services, JobRequest("noop", priority=list(Priority)[n % 4]), "ann", render)
    return [job.id for job in seen]


async def listed(services: Services, limit: int = 500) -> list[str]:
    ids: list[str] = []
    mark: Bookmark | None = Bookmark()
    while mark is not None:
        page = await list_waiting(services, mark, limit)
        ids += [job.id for job in page.jobs]
        mark = page.following
    return ids


async def test_each_job_is_put_exactly_where_it_was_asked_to_be(services: Services) -> None:
    ids, rng = await filled(services, JOBS), random.Random(7)
    for _ in range(30):
        before = await listed(services, 5)
        job_id, position = rng.choice(ids), rng.randint(1, JOBS // 4)
        foreseen = await reorder(services, job_id, position, "ann", None, dry_run=True)
        assert await listed(services) == before
        done = await reorder(services, job_id, position, "ann", "why")
        place = (await services.queue.locate([job_id]))[job_id]
        assert (place.class_position, done.job.id) == (position, job_id)
        pushed = [each.job_id for each in foreseen.pushed_back]
        old, new = before.index(job_id), place.position - 1
        assert pushed == before[new:old], "those that were between"
        assert foreseen.pushed_back_count == max(0, old - new)


async def test_what_clients_change_at_once_is_the_same_after_a_rebuild(services: Services) -> None:
    ids = await filled(services, JOBS)

    async def client(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(CHANGES):
            with contextlib.suppress(Conflict, Invalid):
                await change(rng, rng.choice(ids))

    async def change(rng: random.Random, job_id: str) -> None:
        kind = rng.random()
        if kind < 0.7:
            await reorder(services, job_id, rng.randint(1, 6), "ann", None)
        elif kind < 0.95:
            await set_priority(services, job_id, rng.choice(list(Priority)), "ann", None)
        else:
            await cancel(services, job_id, "ann", None)

    await asyncio.gather(*(client(seed) for seed in range(CLIENTS)))
    now = await listed(services)
    assert len(now) == sum((await services.queue.lengths()).values())
    await services.queue.rebuild(services.jobs.queued_tickets())
    assert await listed(services) == now
    assert await listed(services, 3) == now


async def test_a_used_up_gap_is_spread_in_the_jobs_too(services: Services) -> None:
    ids = await filled(services, 16)
    normal = [i for i in ids if (await services.jobs.get_many([i]))[i].priority is Priority.NORMAL]
    for _ in range(60):
        last = [i for i in await listed(services) if i in normal][-1]
        await reorder(services, last, 2, "ann", None)
    now = await listed(services)
    await services.queue.rebuild(services.jobs.queued_tickets())
    assert await listed(services) == now
