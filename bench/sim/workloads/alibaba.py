"""Alibaba PAI 2020: many users, most jobs repeat, most ask for less than a GPU.

Source: Weng et al., "MLaaS in the Wild", NSDI 2022: 6,742 GPUs, 1,300 users, 65 % of the work recurrent, the most
active 5 % of users submit 77 % of it. From memory, not re-read. Fractions of a GPU are rounded up: the service gives
whole ones.
"""

from __future__ import annotations

from math import ceil
from random import Random

from app.domain.resources import Vector
from bench.sim.arrivals import Draw, Drawn, Workload
from bench.sim.jobs import Kind, some_nodes
from bench.sim.workloads.draw import INSIDE, family, unknown, weighted, zipf, zipf_exponent

USERS, RECURRENT = 1_300, 0.65
TOP, TOP_SHARE = 0.05, 0.77
"""Users, and their share of jobs [from memory, not re-read]."""
GPUS = {0.0: 0.15, 0.25: 0.25, 0.5: 0.30, 1.0: 0.20, 2.0: 0.05, 4.0: 0.03, 8.0: 0.02}
"""GPUs asked for: share of jobs. A choice: most ask for less than one."""
MEDIAN, BETWEEN = 900.0, 1.6
"""Seconds, and sigma between groups. A choice."""
GROUPS = 300
"""Recurrent groups; each belongs to one user."""


def alibaba(nodes: int = 16) -> Workload:
    """On nodes of 96 cores and 8 GPUs each. Nothing but its time limit is known of a job that does not recur."""

    def source(random: Random) -> Draw:
        weights = zipf(USERS, zipf_exponent(USERS, TOP, TOP_SHARE))
        user = weighted(random, {f"u{n:04}": w for n, w in enumerate(weights)})
        size = weighted(random, GPUS)
        groups = [(user(), *_group(random, size())) for _ in range(GROUPS)]

        def draw() -> Drawn:
            if random.random() < RECURRENT:
                tenant, kind, median = random.choice(groups)
                return Drawn(kind, median * random.lognormvariate(0.0, INSIDE), tenant=tenant)
            kind, median = _group(random, size())
            return Drawn(unknown(kind.vector, median), median, tenant=user())

        return draw

    return Workload("alibaba", some_nodes(nodes, cores=96, memory_gb=512), source)


def _group(random: Random, asked: float) -> tuple[Kind, float]:
    gpus = ceil(asked)
    median = MEDIAN * random.lognormvariate(0.0, BETWEEN)
    cores = 8 * gpus or 6
    return family(Vector(1_000 * cores, 4_096 * cores, gpus, 0), median), median
