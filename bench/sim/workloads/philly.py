"""Philly: deep learning at Microsoft, with heavy failures.

Source: Jeon et al., "Analysis of Large-Scale Multi-Tenant GPU Clusters for DNN Training Workloads", ATC 2019: 117,325
jobs, 552 machines of up to 8 GPUs, mean GPU use 52 %; ends and sizes below. From memory, not re-read. Jobs on more than
one machine are left out: the service runs a job on one node.
"""

from __future__ import annotations

from random import Random

from app.domain.resources import Vector
from bench.sim.arrivals import Draw, Drawn, Workload
from bench.sim.jobs import some_nodes
from bench.sim.workloads.draw import INSIDE, family, weighted

JOBS, MACHINES, GPU_USE = 117_325, 552, 0.52
ENDS = {"passed": 0.693, "killed": 0.135, "unsuccessful": 0.172}
"""How jobs end: share of jobs [from memory, not re-read]."""
GPUS = {1: 0.83, 2: 0.05, 4: 0.06, 8: 0.06}
"""Sizes on one machine: share of jobs. A choice near the paper's."""
MEDIAN, BETWEEN = 13.0 * 60.0, 1.9
"""Seconds, and sigma between families [the median from memory, not re-read; sigma a choice]."""
FAMILIES = 400
EARLY = 0.5
"""An unsuccessful or killed run ends at a time evenly spread over this share of the family's time. A choice."""


def philly(nodes: int = 16) -> Workload:
    """On nodes of 24 cores and 8 GPUs each."""

    def source(random: Random) -> Draw:
        size, end = weighted(random, GPUS), weighted(random, ENDS)
        kinds = []
        for _ in range(FAMILIES):
            gpus, median = size(), MEDIAN * random.lognormvariate(0.0, BETWEEN)
            kinds.append((family(Vector(3_000 * gpus, 32_768 * gpus, gpus, 0), median), median))

        def draw() -> Drawn:
            kind, median = random.choice(kinds)
            takes = median * random.lognormvariate(0.0, INSIDE)
            return Drawn(kind, takes if end() == "passed" else takes * EARLY * (1.0 - random.random()))

        return draw

    return Workload("philly", some_nodes(nodes, cores=24, memory_gb=448), source)
