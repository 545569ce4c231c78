"""What a cycle costs at the limits that are promised: 2,000 heads, 1,000 nodes that all differ in what is free.

Each cycle a few runs end and a few jobs come, as in a busy cluster; what the planner decides is carried out. Timed are
the choice of members to read and the plan, without the stores, with the garbage collector set as the service sets it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from random import Random
from time import thread_time

from app.cli.serve import GC_THRESHOLDS
from app.domain.nodes import Node
from app.domain.priority import Priority
from app.domain.resources import Vector
from bench.sim.jobs import HOUR, MINUTE, Kind, SimJob, a_job, some_nodes
from bench.sim.ledger import Ledger
from bench.sim.metrics import quantile
from bench.sim.ours import Ours

HEADS, NODES, TENANTS, CYCLES, EVENTS = 2_000, 1_000, 20, 150, 5
SHAPES = ((32, 128, 0), (96, 384, 0), (64, 256, 4), (96, 768, 8))
"""Cores, GB and GPUs of nodes; equal numbers of each."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Milliseconds of a cycle in a full cluster; and of the first ones, which fill an empty one with `filled` jobs."""

    median: float
    p99: float
    filling: float
    filled: int
    heads: int


def measured(seed: int = 1, heads: int = HEADS, nodes: int = NODES, cycles: int = CYCLES) -> Budget:
    """Fill, then keep busy."""
    with _collector_of_the_service():
        return _measured(seed, heads, nodes, cycles)


@contextmanager
def _collector_of_the_service() -> Iterator[None]:
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _measured(seed: int, heads: int, nodes: int, cycles: int) -> Budget:
    random = Random(seed)
    ledger = Ledger(_nodes(nodes))
    policy = Ours()
    jobs, now = _Jobs(random), HOUR
    times: list[float] = []
    filling: list[tuple[float, int]] = []
    while len(times) < cycles:
        while len(policy.index.lines) < heads:
            policy.submitted(jobs.next(now))
        snapshot_and_plan, placed = _cycle(policy, ledger, now)
        if placed > EVENTS * 10 and not times:
            filling.append((snapshot_and_plan, placed))
            continue
        times.append(snapshot_and_plan)
        now += MINUTE
        for job_id in random.sample(sorted(ledger.runs), min(EVENTS, len(ledger.runs))):
            policy.ended(ledger.end(job_id))
    slowest, placed = max(filling, default=(0.0, 0))
    ordered = sorted(times)
    return Budget(
        1e3 * quantile(ordered, 0.5), 1e3 * quantile(ordered, 0.99), 1e3 * slowest, placed, len(policy.index.lines)
    )


def plain(budget: Budget) -> dict[str, float]:
    """For JSON."""
    return asdict(budget)


def _cycle(policy: Ours, ledger: Ledger, now: int) -> tuple[float, int]:
    before = thread_time()
    starts, _ = policy.decide(ledger, now)
    spent = thread_time() - before
    for start in starts:
        policy.started(ledger.start(start.job, start.node_id, start.gpus, now))
    return spent, len(starts)


class _Jobs:
    """Jobs that are all different."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._count = 0

    def next(self, now: int) -> SimJob:
        random = self._random
        self._count += 1
        gpus = random.choice([0, 0, 0, 1, 2, 4])
        vector = Vector(random.randrange(500, 24_000), random.randrange(512, 98_304), gpus, 0)
        mean = random.uniform(60.0, 7_200.0)
        kind = Kind(vector, mean, 2.0 * mean, 14_400.0)
        tenant, priority = f"t{random.randrange(TENANTS):02}", random.choice(list(Priority))
        return a_job(f"j{self._count:07}", now - random.randrange(HOUR), kind, mean, priority, tenant)


def _nodes(count: int) -> list[Node]:
    shapes = [some_nodes(1, *shape)[0] for shape in SHAPES]
    return [replace(shapes[n % len(shapes)], id=f"n{n:04}") for n in range(count)]
