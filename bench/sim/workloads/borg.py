"""Borg 2019: CPU only, and a tail that holds nearly everything.

Source: Tirmazi et al., "Borg: the Next Generation", EuroSys 2020: the largest 1 % of jobs use more than 99 % of
resources; the tail is a Pareto with exponent 0.69. From memory, not re-read.

Only the largest of the jobs are simulated: a day of all of them would be millions that hold nothing.
"""

from __future__ import annotations

from random import Random

from app.domain.resources import Vector
from bench.sim.arrivals import Draw, Drawn, Workload
from bench.sim.jobs import some_nodes
from bench.sim.workloads.draw import family, weighted

TOP, TOP_SHARE, ALPHA = 0.01, 0.99, 0.69
SPAN = 3.6e9
"""Largest over smallest core-seconds of a job. A choice; with it the top 1 % hold 99 % of the expectation."""
SMALLEST = 0.2
"""Core-seconds. A choice."""
CORES = {1: 0.5, 2: 0.2, 4: 0.15, 8: 0.1, 16: 0.05}
"""A choice: the published jobs have many tasks on many machines, the service's one node."""
SIMULATED = 0.99
"""The quantile of core-seconds from which on jobs are simulated: the 1 % that hold the resources."""
LARGE = 8
"""A job of more than an hour of core time asks for so many times the cores."""


def core_seconds(u: float) -> float:
    """The quantile `u` of the bounded Pareto: L·(1 − u·(1 − S^−α))^(−1/α), S = largest over smallest."""
    return SMALLEST * (1.0 - u * (1.0 - SPAN**-ALPHA)) ** (-1.0 / ALPHA)


def expected_top_share(top: float = TOP) -> float:
    """Share of the expectation that lies above the quantile 1 − top, by the integral of the density."""
    from_ = core_seconds(1.0 - top) / SMALLEST
    power = 1.0 - ALPHA
    return float((SPAN**power - from_**power) / (SPAN**power - 1.0))


def borg(nodes: int = 16) -> Workload:
    """On nodes of 64 cores without GPUs. Simulated runs take at least a second and are cut as all are."""

    def source(random: Random) -> Draw:
        cores = weighted(random, CORES)

        def draw() -> Drawn:
            work = core_seconds(SIMULATED + (1.0 - SIMULATED) * random.random())
            asked = min(32, cores() * (LARGE if work > 3_600.0 else 1))
            takes = max(1.0, work / asked)
            return Drawn(family(Vector(1_000 * asked, 2_048 * asked, 0, 0), takes, 0.3), takes)

        return draw

    return Workload("borg", some_nodes(nodes, gpus=0), source)
