"""The queue index at 1,000, 100,000 and 1,000,000 waiting jobs on a real Valkey: what one decision costs, and memory.

Beside it in the same run stand the plain commands on one sorted set of the same jobs: ZADD, ZRANK, ZREM. An enqueue of
ours is one call that also tells where the job stands, wakes the scheduler, and keeps the order by class, tenant and
bucket; a reorder is two calls: between whom, and the move. One row has a thousand tenants, whose queues make one order.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from app.dev.machine import free_port
from app.dev.valkey import Valkey
from app.domain.priority import SECOND, Priority
from app.domain.queueing import Bucket, Demand, Ticket, duration_class
from app.domain.resources import Vector
from app.storage.queue_index import RedisQueueIndex
from app.storage.redis import connect
from bench import kit

SIZES = ((1_000, 8), (100_000, 8), (1_000_000, 8), (100_000, 1_000))
"""Waiting jobs and tenants."""
ROUNDS = 300
CHUNK = 1_000
BEGAN = 217_000_000_000_000.0
VECTORS = tuple(Vector(1_000 * cores, 2_048 * cores, cores // 16) for cores in (1, 2, 4, 8, 16, 32))
MINUTES = (1, 5, 30, 240)
SHARES = (1, 4, 12, 3)
"""Of the classes, most urgent first."""


@dataclass(frozen=True, slots=True)
class Filled:
    """An index that waits, and the plain set beside it."""

    index: RedisQueueIndex
    redis: Redis
    jobs: int
    tenants: int
    chance: random.Random

    def ticket(self, number: int) -> Ticket:
        """One job of a mix of classes, tenants, vectors and durations, submitted after those of lower numbers."""
        [priority] = self.chance.choices(list(Priority), SHARES)
        tenant = f"team{self.chance.randrange(self.tenants)}"
        vector, minutes = self.chance.choice(VECTORS), self.chance.choice(MINUTES)
        key, micros = BEGAN + number * 1_000.0, minutes * 60 * SECOND
        bucket = Bucket(priority, tenant, vector, duration=duration_class(micros))
        return Ticket(f"job_{number:026d}", key, bucket, Demand(vector, priority, key, micros, micros))

    async def tickets(self) -> AsyncIterator[list[Ticket]]:
        for start in range(0, self.jobs, CHUNK):
            yield [self.ticket(n) for n in range(start, min(start + CHUNK, self.jobs))]


async def used(redis: Redis) -> int:
    """Bytes that the server's data take."""
    return int((await redis.info("memory"))["used_memory"])


async def fill(filled: Filled) -> tuple[float, float, float]:
    """Bytes per job of the index and of the plain set, and jobs per second of the rebuild."""
    redis = filled.redis
    await filled.index.enqueue([filled.ticket(0)])
    await filled.index.dequeue([filled.ticket(0).job_id])
    empty, began = await used(redis), time.perf_counter()
    assert await filled.index.rebuild(filled.tickets()) == filled.jobs
    seconds, indexed = time.perf_counter() - began, await used(redis)
    for start in range(0, filled.jobs, CHUNK):
        numbers = range(start, min(start + CHUNK, filled.jobs))
        await redis.zadd("raw", {f"job_{n:026d}": BEGAN + n * 1_000.0 for n in numbers})
    raw = await used(redis) - indexed
    return (indexed - empty) / filled.jobs, raw / filled.jobs, filled.jobs / seconds


class Watch:
    """Milliseconds by what was done."""

    def __init__(self) -> None:
        self._taken: dict[str, list[float]] = {}

    async def time(self, name: str, work: Awaitable[Any]) -> Any:
        began = time.perf_counter()
        found = await work
        self._taken.setdefault(name, []).append((time.perf_counter() - began) * 1_000)
        return found

    def median(self, name: str) -> float:
        return statistics.median(self._taken[name])

    def p99(self, name: str) -> float:
        return kit.percentile(self._taken[name], 99)


async def reorder(filled: Filled, ticket: Ticket, position: int) -> None:
    """Between those at the position of the job's class."""
    found = await filled.index.neighbours(ticket.bucket.priority, position, ticket.job_id)
    low = found.before if found.before is not None else (found.after or 0.0) - SECOND
    high = found.after if found.after is not None else low + 2 * SECOND
    await filled.index.enqueue([replace(ticket, key=(low + high) / 2, bucket=replace(ticket.bucket, pin=found.band))])


async def decide(filled: Filled, watch: Watch) -> None:
    """One job comes, is looked for, is moved, and leaves; the same is done to the plain set."""
    index, redis, chance = filled.index, filled.redis, filled.chance
    for n in range(ROUNDS):
        ticket = filled.ticket(filled.jobs + n)
        other = f"job_{chance.randrange(filled.jobs):026d}"
        await watch.time("ZADD", redis.zadd("raw", {ticket.job_id: ticket.key}))
        await watch.time("enqueue", index.enqueue([ticket]))
        await watch.time("ZRANK", redis.zrank("raw", other))
        await watch.time("locate", index.locate([other]))
        length = (await index.lengths())[ticket.bucket.priority]
        await watch.time("reorder", reorder(filled, ticket, chance.randint(1, length)))
        await watch.time("ZREM", redis.zrem("raw", ticket.job_id))
        await watch.time("dequeue", index.dequeue([ticket.job_id]))


async def read(filled: Filled, watch: Watch) -> int:
    """What a cycle and a screen ask for. Answers how many buckets there are."""
    heads = []
    for _ in range(20):
        heads = await watch.time("heads", filled.index.heads())
        await watch.time("lane", filled.index.lane(BEGAN + 10**13))
        [middle] = await filled.index.listing(None, 1)
        await watch.time("page of 100", filled.index.listing(middle.point, 100))
    return len(heads)


OPERATIONS: tuple[tuple[str, str | None], ...] = (
    *(("enqueue", "ZADD"), ("dequeue", "ZREM"), ("locate", "ZRANK"), ("reorder", "ZADD")),
    *(("heads", None), ("lane", None), ("page of 100", None)),
)


async def measure(redis: Redis, jobs: int, tenants: int) -> None:
    """Fill, measure and print one size."""
    filled = Filled(RedisQueueIndex(redis, "tf:bench"), redis, jobs, tenants, random.Random(7))
    ours, raw, rate = await fill(filled)
    watch = Watch()
    await decide(filled, watch)
    buckets = await read(filled, watch)
    print(f"-- {jobs:,} waiting jobs of {tenants:,} tenants in {buckets:,} buckets; rebuilt at {rate:,.0f} jobs/s")
    print(f"   memory of Valkey per waiting job: {ours:,.0f} bytes; one plain sorted set: {raw:,.0f} bytes")
    for name, plain in OPERATIONS:
        line = f"   {name:12} median {watch.median(name):7.3f} ms, p99 {watch.p99(name):7.3f} ms"
        if plain:
            line += f"; {plain} {watch.median(plain):.3f} ms, × {watch.median(name) / watch.median(plain):.1f}"
        print(line, flush=True)


async def with_valkey(work: Callable[[Redis], Awaitable[None]]) -> None:
    """On a new server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    server = Valkey(folder, free_port())
    try:
        await server.start()
        async with connect(server.url) as redis:
            await work(redis)
    finally:
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    print(kit.machine())
    for jobs, tenants in SIZES:
        asyncio.run(with_valkey(partial(measure, jobs=jobs, tenants=tenants)))


if __name__ == "__main__":
    main()
