"""The design's own: 200 log-normal families on 16 nodes of 64 cores, 256 GB and 8 GPUs.

Source: the design of this project (`docs/scheduling.md`); the mix of sizes and times is a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from app.domain.priority import Priority
from app.domain.resources import Vector
from bench.sim.arrivals import Draw, Drawn, Workload
from bench.sim.jobs import Kind, some_nodes
from bench.sim.workloads.draw import INSIDE, family, quotas, spread, weighted

FAMILIES = 200
SHORTEST, LONGEST = 120.0, 10_800.0
"""Seconds between which the medians of the families are spread, evenly in their logarithms."""
GPUS = {0: 0.40, 1: 0.30, 2: 0.16, 4: 0.10, 8: 0.04}
"""GPUs that a family asks for: share of families."""
CORES = {1: 0.2, 2: 0.2, 4: 0.25, 8: 0.2, 16: 0.1, 32: 0.05}
"""Cores of a family without GPUs."""
CORES_PER_GPU, GB_PER_CORE = (4, 6, 8), (1, 2, 4)
CLASSES = {Priority.URGENT: 0.05, Priority.HIGH: 0.15, Priority.NORMAL: 0.60, Priority.LOW: 0.20}


def own(
    nodes: int = 16, *, classes: bool = False, tenants: Sequence[str] = ("default",), name: str = "own"
) -> Workload:
    """All jobs of one class and equal tenants, or in all classes."""
    mix = CLASSES if classes else {Priority.NORMAL: 1.0}

    def source(random: Random) -> Draw:
        kinds = _families(random)
        priority, tenant = weighted(random, mix), weighted(random, dict.fromkeys(tenants, 1.0))

        def draw() -> Drawn:
            kind, median = random.choice(kinds)
            return Drawn(kind, median * random.lognormvariate(0.0, INSIDE), priority(), tenant())

        return draw

    return Workload(name, some_nodes(nodes), source)


def _families(random: Random) -> list[tuple[Kind, float]]:
    gpus, medians = quotas(random, GPUS, FAMILIES), spread(random, SHORTEST, LONGEST, FAMILIES)
    cores = weighted(random, CORES)
    return [(family(_vector(random, g, cores()), m), m) for g, m in zip(gpus, medians, strict=True)]


def _vector(random: Random, gpus: int, cores: int) -> Vector:
    asked = random.choice(CORES_PER_GPU) * gpus if gpus else cores
    memory = min(asked * random.choice(GB_PER_CORE), 32 * gpus or 192)
    return Vector(asked * 1_000, memory * 1_024, gpus, 0)
