"""Faults of Redis and of what goes through it: F7 to F10, each with its negative control. Redis holds only an index."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any, cast

import httpx
import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from tests.chaos.bodies import NOOP, brief, witnessed
from tests.chaos.conftest import Trial
from tests.chaos.laboratory import Laboratory
from tests.chaos.moments import boot_time, elapse
from tests.chaos.setting import BRISK, Setting
from tests.support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


async def indexed(lab: Laboratory) -> int:
    """How many jobs the index holds."""
    async with Redis.from_url(lab.redis.running.url) as redis:
        return int(await cast("Awaitable[int]", redis.hlen(f"tf:{lab.database}:at")))


async def redis_dies(lab: Laboratory, running: int, queued: int) -> None:
    """F7: with its data, while jobs run and others wait; every place is taken by what runs."""
    long = await lab.client.submit_all([witnessed(lab.marks_file, 8) for _ in range(running)])
    await asyncio.gather(*(lab.began(job_id) for job_id in long))
    waiting = await lab.client.submit_all([NOOP] * queued)
    await lab.redis.kill()
    await elapse(3)
    await lab.redis.start()
    back = boot_time()
    await until(lambda: _any_ended(lab, waiting), 30, every=0.1)
    lab.figure("first dispatch after Redis is back", boot_time() - back, at_most=10)
    await lab.client.all_ended(120)
    runs = [(await lab.client.job(job_id))["run_no"] for job_id in long]
    lab.figure("running jobs disturbed", sum(run_no != 1 for run_no in runs), "jobs", at_most=0)


async def _any_ended(lab: Laboratory, ids: list[str]) -> bool:
    return bool(set(ids) & set(await lab.client.listed(status="COMPLETED")))


async def redis_is_emptied(lab: Laboratory, queued: int) -> None:
    """F8: under a large queue. Most of its jobs are copies of one, written past the service."""
    job_id = await lab.client.submit(NOOP)
    await until(lambda: _is(lab, 1), 10)
    clones = await _clone(lab, job_id, queued - 1) if queued > 1 else []
    async with Redis.from_url(lab.redis.running.url) as redis:
        if clones:  # they come in by a rebuild: sweeps of so many are rare
            await redis.flushall()
            await until(lambda: _is(lab, queued), 120, every=0.2)
        await redis.flushall()
    emptied = boot_time()
    await until(lambda: _is(lab, queued), 30, every=0.05, message="the whole index")
    lab.figure(f"index of {queued} jobs whole again", boot_time() - emptied, at_most=5)
    async with AsyncMongoClient[dict[str, Any]](lab.direct_uri()) as mongo:
        await mongo[lab.database]["jobs"].delete_many({"_id": {"$in": clones}})
    await lab.client.control(job_id, "cancel")


async def redis_is_flushed(lab: Laboratory, times: int) -> None:
    """F8: again and again, under a small queue that moves."""
    async with Redis.from_url(lab.redis.running.url) as redis:
        for _ in range(times):
            await elapse(1.0)
            await redis.flushall()


async def _is(lab: Laboratory, length: int) -> bool:
    return await indexed(lab) == length


async def _clone(lab: Laboratory, job_id: str, count: int) -> list[str]:
    async with AsyncMongoClient[dict[str, Any]](lab.direct_uri()) as mongo:
        jobs = mongo[lab.database]["jobs"]
        original = await jobs.find_one({"_id": job_id}, {"keyed": 0})
        assert original is not None
        ids = [f"job_{n:026d}" for n in range(count)]
        copies = [{**original, "_id": id_, "order_key": original["order_key"] + n} for n, id_ in enumerate(ids, 1)]
        await jobs.insert_many(copies, ordered=False)
        return ids


async def redis_is_silent(lab: Laboratory, seconds: float) -> None:
    """F9: every connection stands and nothing is answered. Jobs go on, and submits are answered."""
    running = await lab.submit_witnessed(seconds)
    await lab.began(running)
    for wire in lab.redis_wires.values():
        wire.hold()
    silent, slowest = boot_time(), 0.0
    while boot_time() - silent < seconds:
        asked = boot_time()
        answer = await lab.client.try_submit(brief())
        assert answer.status_code == 201, answer.text
        slowest = max(slowest, boot_time() - asked)
        await elapse(0.5)
    for wire in lab.redis_wires.values():
        wire.mend()
    spoke = boot_time()
    last = await lab.client.submit(brief())
    await lab.client.when(last, "COMPLETED")
    lab.figure("slowest submit while Redis was silent", slowest, at_most=5.5)
    lab.figure("recovery after the silence", boot_time() - spoke, at_most=5)
    job = await lab.client.when(running, "COMPLETED")
    lab.figure("running jobs disturbed", job["run_no"] != 1, "jobs", at_most=0)


async def dispatches_are_lost(lab: Laboratory, times: int) -> None:
    """F10: the first telling of each run fails, before or after it reached Redis."""
    bodies = [NOOP] * times + [witnessed(lab.marks_file, 0.2) for _ in range(3)]
    for start in range(0, len(bodies), 40):
        await lab.client.submit_all(bodies[start : start + 40])
    asked = boot_time()
    await lab.client.all_ended(60)
    lab.figure("lost dispatches made good after", boot_time() - asked, at_most=30)


def lossy(when: str, *without: str) -> Setting:
    return Setting(pace=BRISK, faults={"api-1": [f"lost_dispatch:{when}"]}, without=without)


async def test_f7_redis_dies(trial: Trial) -> None:
    setting = Setting(env={"MAX_CONCURRENT_JOBS": "20"})
    assert (await trial(setting, partial(redis_dies, running=20, queued=1_000))).violations == []


async def test_f7_without_the_repair_of_the_index_what_waited_waits_for_ever(trial: Trial) -> None:
    setting = Setting(env={"MAX_CONCURRENT_JOBS": "2"}, without=("index_repair",))
    with pytest.raises(AssertionError, match="not within 30 s"):
        await trial(setting, partial(redis_dies, running=2, queued=20))


async def test_f8_redis_is_emptied(trial: Trial) -> None:
    setting = Setting(nodes=0, subscribers=0)
    assert (await trial(setting, partial(redis_is_emptied, queued=50_000))).violations == []


async def test_f8_without_the_repair_of_the_index_it_stays_empty(trial: Trial) -> None:
    setting = Setting(nodes=0, subscribers=0, without=("index_repair",))
    with pytest.raises(AssertionError, match="the whole index"):
        await trial(setting, partial(redis_is_emptied, queued=1))


async def test_f9_redis_is_silent(trial: Trial) -> None:
    assert (await trial(Setting(), partial(redis_is_silent, seconds=60))).violations == []


async def test_f9_without_bounds_a_silent_redis_silences_the_service(trial: Trial) -> None:
    with pytest.raises((httpx.TimeoutException, AssertionError)):
        await trial(Setting(without=("bounds",)), partial(redis_is_silent, seconds=12))


@pytest.mark.parametrize("when", ["before", "after"])
async def test_f10_dispatches_are_lost(trial: Trial, when: str) -> None:
    assert (await trial(lossy(when), partial(dispatches_are_lost, times=200))).violations == []


async def test_f10_without_redelivery_a_lost_dispatch_is_a_lost_job(trial: Trial) -> None:
    with pytest.raises(AssertionError, match="all answered jobs to end"):
        await trial(lossy("before", "redelivery"), partial(dispatches_are_lost, times=1))
