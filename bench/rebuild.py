"""The index after FLUSHALL under 50,000 waiting jobs: when it is noticed, when it is whole, beside the raw parts.

The jobs are copies of one, written past the service, and no worker runs, so they only wait. Noticed is the first sign
of a rebuild in Redis; whole is the index with every job and its epoch. The raw parts are the two that no rebuild can do
without: reading the fields of a ticket through a plain cursor, and one plain pipelined ZADD of every job.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from app.storage.tickets import FIELDS
from bench import kit

JOBS = 50_000
CHUNK = 1_000
ROUNDS = 3
BODY = {"template": "noop", "executor": "inline"}
NAMESPACE = "tf:tensorfleet"
PROMISE = 5.0
"""Seconds, with the default settings, from FLUSHALL to the whole index."""


async def _reached(condition: Callable[[], Awaitable[object]], seconds: float = 60) -> float:
    """The moment in which it holds."""
    end = time.perf_counter() + seconds
    while not await condition():
        if time.perf_counter() > end:
            raise TimeoutError("the index was not rebuilt")
        await asyncio.sleep(0.01)
    return time.perf_counter()


async def _fill(jobs: Any, job_id: str) -> None:
    original = await jobs.find_one({"_id": job_id}, {"keyed": 0})
    for start in range(1, JOBS, CHUNK):
        numbers = range(start, min(JOBS, start + CHUNK))
        copies = [{**original, "_id": f"job_{n:026d}", "order_key": original["order_key"] + n} for n in numbers]
        await jobs.insert_many(copies, ordered=False)


async def _round(redis: Redis) -> tuple[float, float]:
    """Seconds from FLUSHALL until a rebuild began, and until the index was whole."""
    await redis.flushall()
    emptied = time.perf_counter()

    async def begun() -> bool:
        return bool(await redis.exists(f"{NAMESPACE}:next:token", f"{NAMESPACE}:epoch"))

    async def whole() -> bool:
        pipe = redis.pipeline()
        pipe.get(f"{NAMESPACE}:epoch")
        pipe.hlen(f"{NAMESPACE}:at")
        epoch, indexed = await pipe.execute()
        return epoch is not None and indexed == JOBS

    noticed = await _reached(begun)
    return noticed - emptied, await _reached(whole) - emptied


async def _raw(jobs: Any, redis: Redis) -> tuple[float, float]:
    """Seconds of a plain read of all tickets, and of a plain ZADD of all jobs."""
    began = time.perf_counter()
    found = await jobs.find({"status": "QUEUED"}, FIELDS).to_list(None)
    read = time.perf_counter()
    for start in range(0, len(found), CHUNK):
        pipe = redis.pipeline(transaction=False)
        pipe.zadd("bench", {d["_id"]: d["order_key"] for d in found[start : start + CHUNK]})
        await pipe.execute()
    return read - began, time.perf_counter() - read


async def measure(base: str, stores: dict[str, Any]) -> bool:
    """Print the figures; whether the promise is kept."""
    job_id = kit.post(f"{base}/api/v1/jobs", BODY)["job_id"]
    async with Redis.from_url(stores["redis_url"]) as redis, kit.database(stores["mongodb_uri"]) as database:
        await _fill(database["jobs"], job_id)
        rounds = [await _round(redis) for _ in range(ROUNDS)]
        raw = [await _raw(database["jobs"], redis) for _ in range(ROUNDS)]
    noticed, whole = ([r[n] for r in rounds] for n in (0, 1))
    rates = [JOBS / (end - begin) for begin, end in rounds]
    print(f"noticed after {kit.spread(noticed, 2)} s, {JOBS:,} jobs whole after {kit.spread(whole, 2)} s")
    print(f"rebuild {kit.spread(rates, 0)} jobs/s")
    print(f"raw: cursor {kit.spread([r for r, _ in raw], 2)} s, ZADD {kit.spread([z for _, z in raw], 2)} s")
    return max(whole) <= PROMISE


def main() -> int:
    print(kit.machine())
    with kit.service(workers=0) as (base, stores):
        kept = asyncio.run(measure(base, stores))
    print(f"whole within {PROMISE:.0f} s: {'yes' if kept else 'NO'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
