"""Which days are simulated, and what is kept of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

from app.domain.calibration import Calibration
from app.domain.priority import Priority
from app.domain.resources import Vector
from bench.sim.announcing import Announcing
from bench.sim.arrivals import Workload, trace_of
from bench.sim.baselines import baselines
from bench.sim.engine import Policy, simulate
from bench.sim.jobs import MINUTE, Kind, Trace, a_job, in_order, misjudged
from bench.sim.metrics import jain, measure, quantile, served
from bench.sim.ours import Ours
from bench.sim.workloads.alibaba import alibaba
from bench.sim.workloads.borg import borg
from bench.sim.workloads.helios import helios
from bench.sim.workloads.own import own
from bench.sim.workloads.philly import philly

OURS, ANNOUNCING, FRESH = "ours", "announcing", "announcing-fresh"
WAITS = ("< 10 min", "< 1 h", "< 6 h", "more")
"""The bands of predicted waits."""
TENANTS = tuple(f"t{n}" for n in range(5))
SWEEP_NODES, SWEEP_JOBS, SWEEP_SECONDS = 8, 500, 1_200.0
"""The aged sweep: so many low jobs a node, all there from the first minute (the design's 8,000 on 16 nodes)."""
POINTS = 101


@dataclass(frozen=True, slots=True)
class Task:
    """One simulated day. `error`: of the expectations, see `jobs.ERRORS`."""

    scenario: str
    load: float
    seed: int
    policy: str
    hours: float = 24.0
    error: str = "right"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`metrics`: see `metrics.Metrics`; `waits`: 101 quantiles of the wait, minutes; `jain`: over tenants;
    `first_broken`: of promises not kept, in words; `inside`: share of starts inside their windows, by order of the
    predicted wait and of all; `pinball`: loss over that of the naive forecast."""

    task: Task
    metrics: dict[str, Any]
    waits: list[float]
    jain: float
    first_broken: str | None
    inside: dict[str, float] | None = None
    pinball: float | None = None

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, found: dict[str, Any]) -> Outcome:
        return cls(**found | {"task": Task(**found["task"])})


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "own": own,
    "classes": lambda: own(classes=True, name="classes"),
    "tenants": lambda: own(tenants=TENANTS, name="tenants"),
    "sweep": lambda: own(SWEEP_NODES, classes=True, name="sweep"),
    "philly": philly,
    "helios": helios,
    "alibaba": alibaba,
    "borg": borg,
}


def build(task: Task) -> Trace:
    """The jobs of a task; the same for all policies and errors of a seed."""
    trace = trace_of(WORKLOADS[task.scenario](), task.seed, task.load, task.hours)
    if task.scenario == "sweep":
        trace = with_sweep(trace, task.seed, task.hours)
    return trace if task.error == "right" else misjudged(trace, task.error, task.seed)


def with_sweep(trace: Trace, seed: int, hours: float) -> Trace:
    """The trace beside a sweep of low jobs with one GPU each."""
    random = Random(f"sweep/{seed}")
    alike = Kind(Vector(6_000, 16_384, 1, 0), SWEEP_SECONDS, 1.3 * SWEEP_SECONDS, 3_600.0)
    count = round(SWEEP_JOBS * len(trace.nodes) * hours / 24.0)
    low = [
        a_job(f"s{n:06}", n * MINUTE // count, alike, SWEEP_SECONDS * random.lognormvariate(0.0, 0.2), Priority.LOW)
        for n in range(count)
    ]
    return replace(trace, jobs=in_order([*trace.jobs, *low]))


def policy_of(name: str) -> Policy:
    """A new policy. Raises KeyError."""
    makers: dict[str, Callable[[], Policy]] = {
        OURS: Ours,
        ANNOUNCING: Announcing,
        FRESH: lambda: Announcing(fresh=True),
        **baselines(),
    }
    return makers[name]()


def run(task: Task) -> Outcome:
    """Simulate, and measure."""
    trace = build(task)
    history = simulate(trace, policy_of(task.policy))
    waits = sorted(history.wait(j) / MINUTE for j in trace.jobs)
    shares = served(history, trace.horizon // 4, trace.horizon)
    return Outcome(
        task,
        measure(history).plain(),
        [quantile(waits, n / (POINTS - 1)) for n in range(POINTS)],
        jain(shares.values()),
        history.broken[0] if history.broken else None,
        inside_of(history.calibration) if history.calibration else None,
        history.calibration.tally.pinball_ratio if history.calibration else None,
    )


def inside_of(calibration: Calibration) -> dict[str, float]:
    """Share of starts that fell into their windows: of all, and by the bands of predicted waits that had any."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for (_, band, result), n in calibration.tally.results.items():
        counts["all"][result] += n
        counts[WAITS[band]][result] += n
    return {name: found["inside"] / found.total() for name, found in counts.items()}
