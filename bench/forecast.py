"""The forecast of 100,000 waiting jobs on 100 nodes, in a thread: how long it takes, and for how long it holds up the
event loop; beside a loop that is left alone in the same run. Threads switch as they do in the service."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable
from dataclasses import replace
from random import Random

from app.cli.serve import SWITCH_SECONDS
from app.domain.nodes import Allocation, Node
from app.domain.priority import SECOND, Priority
from app.domain.queueing import Bucket, Demand
from app.domain.records import BucketHead, Member
from app.domain.resources import Vector
from app.scheduler.forecast import forecast
from app.scheduler.rules import Rules
from app.scheduler.snapshot import Snapshot
from bench import kit
from bench.sim.jobs import HOUR, some_nodes

WAITING, NODES, BUCKETS, ROUNDS = 100_000, 100, 460, 7
TICK = 0.001


def a_snapshot(seed: int = 1) -> Snapshot:
    """Full nodes of 64 cores, 256 GB and 8 GPUs; buckets that differ in class, tenant, vector and duration."""
    random = Random(seed)
    nodes = tuple(_busy(node) for node in some_nodes(NODES, 64, 256, 8))
    return Snapshot(nodes, tuple(_head(n, random) for n in range(BUCKETS)), Rules(), HOUR)


def _busy(node: Node) -> Node:
    runs = tuple(Allocation(f"run-{node.id}-{n}", 1, Vector(8_000, 32_768, 1, 0)) for n in range(8))
    return replace(node, free=Vector(0, 0, 0, node.capacity.storage_gib), allocations=runs)


def _head(number: int, random: Random) -> BucketHead:
    vector = Vector(random.randrange(500, 16_000, 500), random.randrange(512, 65_536, 512), random.choice([0, 0, 1, 2]))
    mean = round(random.uniform(30, 7_200) * SECOND)
    bucket = Bucket(random.choice(list(Priority)), f"t{number % 8}", vector)
    demand = Demand(vector, bucket.priority, float(number), mean, 2 * mean, 4 * mean)
    head = Member(f"job-{number}", float(number), demand)
    return BucketHead(f"b{number:04}", bucket, WAITING // BUCKETS, (head,))


async def stalled_while(work: Awaitable[object]) -> tuple[float, float]:
    """Seconds that the work took, and the longest that the loop was held up meanwhile."""
    worst, done = 0.0, asyncio.ensure_future(work)
    began = last = time.perf_counter()
    while not done.done():
        await asyncio.sleep(TICK)
        now = time.perf_counter()
        worst, last = max(worst, now - last - TICK), now
    return last - began, worst


async def run() -> None:
    print(kit.machine())
    sys.setswitchinterval(SWITCH_SECONDS)
    snapshot = a_snapshot()
    alone = [(await stalled_while(asyncio.sleep(0.5)))[1] for _ in range(ROUNDS)]
    found = [await stalled_while(asyncio.to_thread(forecast, snapshot, 1.0)) for _ in range(ROUNDS)]
    print(f"{snapshot.waiting:,} waiting in {len(snapshot.heads)} buckets, {len(snapshot.ready)} nodes")
    print(f"forecast in a thread: {kit.spread([1e3 * took for took, _ in found])} ms (limit 500)")
    print(f"loop held up for at most: {kit.spread([1e3 * worst for _, worst in found])} ms (limit 10)")
    print(f"the loop left alone: {kit.spread([1e3 * worst for worst in alone])} ms")


if __name__ == "__main__":
    asyncio.run(run())
