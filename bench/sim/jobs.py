"""Jobs as the simulator has them: what they ask for, how long they really take, and what is expected of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp
from random import Random

from app.domain.ageing import dominant
from app.domain.nodes import Node, NodeState
from app.domain.priority import PATIENCE, SECOND, Priority
from app.domain.queueing import hard_duration
from app.domain.resources import Vector, total

MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
TIMEOUTS = (900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400, 172_800, 604_800)
"""Time limits that people set, in seconds: round figures, far above what is needed (Tsafrir, Etsion, Feitelson)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Jobs that are alike. Seconds: `mean` and `cautious` (nine in ten stay below) of the run time; `timeout` ends
    it."""

    vector: Vector
    mean: float
    cautious: float
    timeout: float


@dataclass(frozen=True, slots=True)
class SimJob:
    """A job; times in µs. `takes`: the truth, which only the simulator and policies named "perfect" know. `mean`,
    `cautious`: what is expected; `hard`: what the system enforces."""

    id: str
    submitted: int
    vector: Vector
    takes: int
    mean: int
    cautious: int
    hard: int
    priority: Priority = Priority.NORMAL
    tenant: str = "default"

    @property
    def due(self) -> int:
        """From when on it is overdue."""
        return self.submitted + PATIENCE[self.priority]


@dataclass(frozen=True)
class Trace:
    """Jobs by time of submission, and the empty nodes that they are for."""

    name: str
    nodes: tuple[Node, ...]
    jobs: tuple[SimJob, ...]

    @cached_property
    def capacity(self) -> Vector:
        return total([n.capacity for n in self.nodes])

    @property
    def horizon(self) -> int:
        """When the last job is submitted."""
        return self.jobs[-1].submitted if self.jobs else 0

    def cost(self, job: SimJob) -> float:
        """What it is expected to take from the cluster, in cluster-seconds."""
        return dominant(job.vector, self.capacity) * job.mean / SECOND


def a_job(
    job_id: str, submitted: int, kind: Kind, takes: float, priority: Priority = Priority.NORMAL, tenant: str = "default"
) -> SimJob:
    """A job of that kind that takes so many seconds, or its timeout."""
    real = max(1, round(min(takes, kind.timeout) * SECOND))
    hard = hard_duration(kind.timeout)
    mean, cautious = (min(hard, round(seconds * SECOND)) for seconds in (kind.mean, kind.cautious))
    return SimJob(job_id, submitted, kind.vector, real, mean, cautious, hard, priority, tenant)


def timeout_for(seconds: float) -> float:
    """The smallest usual time limit that is at least so long."""
    return next((float(t) for t in TIMEOUTS if t >= seconds), float(TIMEOUTS[-1]))


def some_nodes(count: int, cores: int = 64, memory_gb: int = 256, gpus: int = 8) -> tuple[Node, ...]:
    """Equal empty nodes."""
    capacity = Vector(cores * 1_000, memory_gb * 1_024, gpus, 0)
    return tuple(Node(f"n{i:04}", NodeState.READY, 1, {}, capacity, capacity) for i in range(count))


def in_order(jobs: Iterable[SimJob]) -> tuple[SimJob, ...]:
    return tuple(sorted(jobs, key=lambda j: (j.submitted, j.id)))


Error = Callable[[Random], float]
"""Draws by how much the expectation of one job is wrong, as a factor."""
ERRORS: dict[str, Error] = {
    "right": lambda _: 1.0,
    "÷5": lambda _: 0.2,
    "×5": lambda _: 5.0,
    "random": lambda random: exp(1.5 * random.gauss(0.0, 1.0)),
}


def misjudged(trace: Trace, error: str, seed: int) -> Trace:
    """The same jobs with expectations that are wrong by one of `ERRORS`; the truth and the hard limits stay."""
    random = Random(f"{trace.name}/{error}/{seed}")
    return replace(trace, jobs=tuple(_misjudged(job, ERRORS[error](random)) for job in trace.jobs))


def _misjudged(job: SimJob, factor: float) -> SimJob:
    mean, cautious = (min(job.hard, max(SECOND, round(t * factor))) for t in (job.mean, job.cautious))
    return replace(job, mean=mean, cautious=cautious)


def shaken(jobs: Sequence[SimJob], random: Random, by: int = MINUTE) -> tuple[SimJob, ...]:
    """Submitted up to a minute earlier or later (Tsafrir and Feitelson: small changes show what is chance)."""
    return in_order(replace(j, submitted=max(0, j.submitted + random.randint(-by, by))) for j in jobs)
