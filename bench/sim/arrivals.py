"""When jobs come, and how many: so that the fullest dimension is asked for exactly as much as the load says.

Over a day the rate goes up and down like a sine; at its highest it is so many times its lowest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import pi, sin
from random import Random

from app.domain.nodes import Node
from app.domain.priority import Priority
from bench.sim.jobs import DAY, HOUR, Kind, SimJob, Trace, a_job, shaken

LONGEST = 12 * 3_600.0
"""Seconds. Longer runs are cut in simulations, whose horizon is a day."""
DIURNAL = 2.0
STEPS = 1_440


@dataclass(frozen=True, slots=True)
class Drawn:
    """One job of a workload, without its time."""

    kind: Kind
    takes: float
    priority: Priority = Priority.NORMAL
    tenant: str = "default"


Draw = Callable[[], Drawn]
Source = Callable[[Random], Draw]
"""Draws the parameters of families once, then job after job."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A shape of jobs and the nodes that they are simulated on."""

    name: str
    nodes: tuple[Node, ...]
    source: Source


def trace_of(workload: Workload, seed: int, load: float, hours: float = 24.0, rhythm: float = DIURNAL) -> Trace:
    """A day (or so) of that workload at that load. `rhythm`: jobs at the busiest time over jobs at the quietest."""
    random = Random(f"{workload.name}/{seed}")
    draw = workload.source(random)
    drawn = _as_many_as(draw, workload.nodes, load, hours)
    times = arrival_times(random, len(drawn), round(hours * HOUR), rhythm)
    jobs = [_job(n, at, one) for n, (at, one) in enumerate(zip(times, drawn, strict=True))]
    return Trace(workload.name, workload.nodes, shaken(jobs, random))


def arrival_times(random: Random, count: int, horizon: int, factor: float = DIURNAL) -> list[int]:
    """So many times in [0, horizon), ascending, by a daily sine whose top is `factor` times its bottom."""
    swing = (factor - 1.0) / (factor + 1.0)
    rates = [1.0 + swing * sin(2.0 * pi * (n + 0.5) / STEPS * horizon / DAY) for n in range(STEPS)]
    sums = list(accumulate(rates))
    return sorted(_inverse(sums, rates, random.random() * sums[-1], horizon) for _ in range(count))


def _inverse(sums: Sequence[float], rates: Sequence[float], at: float, horizon: int) -> int:
    step = min(bisect_left(sums, at), STEPS - 1)
    inside = 1.0 - (sums[step] - at) / rates[step]
    return min(horizon - 1, int((step + inside) * horizon / STEPS))


def _as_many_as(draw: Draw, nodes: Sequence[Node], load: float, hours: float) -> list[Drawn]:
    room = [sum(parts) * hours * 3_600.0 * load for parts in zip(*(n.capacity.parts() for n in nodes), strict=True)]
    asked = [0.0] * 4
    drawn = []
    while all(have < most for have, most in zip(asked, room, strict=True) if most):
        one = draw()
        seconds = min(one.takes, one.kind.timeout, LONGEST)
        asked = [have + part * seconds for have, part in zip(asked, one.kind.vector.parts(), strict=True)]
        drawn.append(one)
    return drawn


def _job(n: int, at: int, drawn: Drawn) -> SimJob:
    takes = min(drawn.takes, LONGEST)
    return a_job(f"j{n:06}", at, drawn.kind, takes, drawn.priority, drawn.tenant)
