"""What a simulated day is judged by. Times in minutes unless named otherwise."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from app.domain.ageing import dominant
from app.domain.priority import PATIENCE, SECOND, Priority
from app.domain.resources import DIMENSIONS
from bench.sim.engine import History
from bench.sim.jobs import MINUTE, SimJob

SLOWDOWN_BOUND = 10.0
"""Seconds: a shorter run counts as one of so long (Feitelson's bounded slowdown)."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """`whole_nodes`: mean wait of jobs that ask for all GPUs (or, without GPUs, half the cores) of the largest node;
    `used`: by dimension, until the last submission; `cycle_p99`: milliseconds; `late_bounds`: overdue jobs that waited
    longer than the bound; `closest`: the largest wait over its bound."""

    jobs: int
    mean: float
    median: float
    p99: float
    most: float
    slowdown: float
    whole_nodes: float
    urgent: float
    used: dict[str, float]
    busiest: float
    makespan: float
    overdue: int
    late_bounds: int
    closest: float
    promised: int
    broken: int
    revoked: int
    cycle_p99: float

    def plain(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def measure(history: History) -> Metrics:
    """The metrics of a history in which all jobs have started."""
    trace = history.trace
    waits = sorted(history.wait(j) / MINUTE for j in trace.jobs)
    used = utilisation(history)
    bounds = starvation(history)
    return Metrics(
        jobs=len(waits),
        mean=fmean(waits),
        median=quantile(waits, 0.5),
        p99=quantile(waits, 0.99),
        most=waits[-1],
        slowdown=fmean(slowdown(history, j) for j in trace.jobs),
        whole_nodes=_mean_wait(history, whole_node(history)),
        urgent=_mean_wait(history, lambda j: j.priority is Priority.URGENT),
        used=used,
        busiest=max(used.values()),
        makespan=max(history.starts[j.id] + j.takes for j in trace.jobs) / MINUTE,
        overdue=len(bounds),
        late_bounds=sum(share > 1.0 for share in bounds),
        closest=max(bounds, default=0.0),
        promised=history.promised,
        broken=len(history.broken),
        revoked=sum(history.revoked.values()),
        cycle_p99=1e3 * quantile(sorted(history.cycles), 0.99),
    )


def quantile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile of ascending values, by rank."""
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def slowdown(history: History, job: SimJob) -> float:
    """max(1, (wait + run) / max(run, 10 s))."""
    wait, run = history.wait(job) / SECOND, job.takes / SECOND
    return max(1.0, (wait + run) / max(run, SLOWDOWN_BOUND))


def whole_node(history: History) -> Callable[[SimJob], bool]:
    """Who counts as a job of a whole node."""
    most = max((n.capacity for n in history.trace.nodes), key=lambda c: (c.gpu, c.cpu_millicores))
    if most.gpu:
        return lambda job: job.vector.gpu >= most.gpu
    return lambda job: 2 * job.vector.cpu_millicores >= most.cpu_millicores


def utilisation(history: History) -> dict[str, float]:
    """Share of each dimension that runs held until the last submission."""
    trace, end = history.trace, max(1, history.trace.horizon)
    held = [0.0] * 4
    for job in trace.jobs:
        start = history.starts[job.id]
        inside = max(0, min(end, start + job.takes) - start)
        held = [have + part * inside for have, part in zip(held, job.vector.parts(), strict=True)]
    parts = zip(DIMENSIONS, held, trace.capacity.parts(), strict=True)
    return {name: have / (capacity * end) for name, have, capacity in parts if capacity}


def jain(values: Iterable[float]) -> float:
    """(Σx)² / (n·Σx²): 1 when all are equal, 1/n when one has all."""
    found = list(values)
    squares = sum(x * x for x in found)
    return sum(found) ** 2 / (len(found) * squares) if squares else 1.0


def served(history: History, start: int, end: int) -> dict[str, float]:
    """Cluster-seconds of dominant share that each tenant held between two times."""
    sums: dict[str, float] = defaultdict(float)
    for job in history.trace.jobs:
        began = history.starts[job.id]
        inside = max(0, min(end, began + job.takes) - max(start, began))
        sums[job.tenant] += dominant(job.vector, history.trace.capacity) * inside / SECOND
    return dict(sums)


def starvation(history: History, ageing: float = 0.2) -> list[float]:
    """For each job that was overdue when it started: its wait over the bound of the guarantee lane,
    `P_cls + (W + max cost) / (φ·η) + D`.

    W: summed cost of those with an earlier due time that still waited at its due time. η: dominant shares of what ran
    while anything waited, at most 1. D: the longest hard duration among all jobs of the trace. Only the service's own
    policy gives this bound; for others the figures tell how far from it they are."""
    trace = history.trace
    most = max(trace.cost(j) for j in trace.jobs)
    longest = max(j.hard for j in trace.jobs) / SECOND
    rate = ageing * min(1.0, busy_while_waiting(history))
    shares = []
    for job, ahead in _work_ahead(history):
        bound = PATIENCE[job.priority] / SECOND + (ahead + most) / rate + longest
        shares.append(history.wait(job) / SECOND / bound)
    return shares


def _work_ahead(history: History) -> Iterator[tuple[SimJob, float]]:
    """Each job that was overdue when it started, with the cost of those due before it that still waited then."""
    waiting: list[tuple[int, float]] = []
    ahead = 0.0
    for job in sorted(history.trace.jobs, key=lambda j: (j.due, j.id)):
        while waiting and waiting[0][0] <= job.due:
            ahead -= heapq.heappop(waiting)[1]
        start, cost = history.starts[job.id], history.trace.cost(job)
        if start > job.due:
            yield job, max(0.0, ahead)
            heapq.heappush(waiting, (start, cost))
            ahead += cost


def busy_while_waiting(history: History) -> float:
    """Mean of the summed dominant shares of runs, over the time in which at least one job waits."""
    capacity = history.trace.capacity
    changes: list[tuple[int, float, int]] = []
    for job in history.trace.jobs:
        start, share = history.starts[job.id], dominant(job.vector, capacity)
        changes += [(job.submitted, 0.0, 1), (start, share, -1), (start + job.takes, -share, 0)]
    changes.sort()
    area, time, running, waiting, last = 0.0, 0, 0.0, 0, 0
    for at, share, one in changes:
        if waiting:
            area, time = area + running * (at - last), time + at - last
        running, waiting, last = running + share, waiting + one, at
    return area / time if time else 1.0


def _mean_wait(history: History, of: Callable[[SimJob], bool]) -> float:
    waits = [history.wait(j) / MINUTE for j in history.trace.jobs if of(j)]
    return fmean(waits) if waits else 0.0
