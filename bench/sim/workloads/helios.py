"""Helios: four clusters of SenseTime, half of whose jobs use no GPU; run times over six orders of magnitude.

Source: Hu et al., "Characterization and Prediction of Deep Learning Workloads in Large-Scale GPU Datacenters", SC 2021:
3.36 million jobs in 6 months, 1.58 million with GPUs, their run time 206 s in the median and 6,652 s in the mean. From
memory, not re-read.
"""

from __future__ import annotations

from math import sqrt
from random import Random

from app.domain.resources import Vector
from bench.sim.arrivals import Draw, Drawn, Workload
from bench.sim.jobs import some_nodes
from bench.sim.workloads.draw import INSIDE, family, sigma_for, weighted

WITH_GPU = 1.58 / 3.36
MEDIAN, MEAN = 206.0, 6_652.0
"""Seconds, of jobs with GPUs [from memory, not re-read]."""
CAP = 604_800.0
"""Seconds; no run is longer. A choice: with it, sigma follows from median and mean."""
GPUS = {1: 0.70, 2: 0.10, 4: 0.08, 8: 0.12}
"""Share of jobs with GPUs. A choice: most ask for one."""
CPU_MEDIAN, CPU_SIGMA = 20.0, 2.0
"""Seconds, of jobs without. A choice: most are short."""


def gpu_seconds(random: Random) -> tuple[float, float]:
    """Median of a family of jobs with GPUs, and the run time of one of its jobs; what is inside and what is between
    families adds up to the published spread."""
    whole = sigma_for(MEDIAN, MEAN, CAP)
    median = MEDIAN * random.lognormvariate(0.0, sqrt(whole * whole - INSIDE * INSIDE))
    return median, min(CAP, median * random.lognormvariate(0.0, INSIDE))


def helios(nodes: int = 16) -> Workload:
    """On nodes of 48 cores and 8 GPUs each."""

    def source(random: Random) -> Draw:
        size, cores = weighted(random, GPUS), weighted(random, {1: 0.5, 2: 0.2, 4: 0.2, 8: 0.1})

        def draw() -> Drawn:
            if random.random() < WITH_GPU:
                gpus = size()
                median, takes = gpu_seconds(random)
                return Drawn(family(Vector(5_000 * gpus, 24_576 * gpus, gpus, 0), median), takes)
            asked, median = cores(), CPU_MEDIAN * random.lognormvariate(0.0, CPU_SIGMA)
            kind = family(Vector(1_000 * asked, 4_096 * asked, 0, 0), median)
            return Drawn(kind, median * random.lognormvariate(0.0, INSIDE))

        return draw

    return Workload("helios", some_nodes(nodes, cores=48), source)
