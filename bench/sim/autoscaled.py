"""The autoscaled row: how many jobs start within the target of their class, and what the fleet costs beside fixed ones.

Three kinds of days of the design's own workload in all four classes: `nights`, two days whose nights bring a tenth of
the noons' jobs; `day`, the one of the other rows, whose noon brings twice the night's; and `constant`, without any
rhythm, on which the fleet must not turn. A fixed fleet at the peak has as many nodes as would be in use at once if
every job started when it is submitted. Beside it stand two other fixed fleets: the smallest that has as many starts in
time as the autoscaled one, and the smallest that has 95 %.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.domain.capacity.kinds import NodeType
from app.domain.capacity.slots import TARGETS
from app.domain.priority import SECOND, Priority
from bench.sim.arrivals import trace_of
from bench.sim.engine import History, simulate
from bench.sim.fleet import Autoscaled
from bench.sim.jobs import MINUTE, Trace, some_nodes
from bench.sim.ledger import Run
from bench.sim.ours import Ours
from bench.sim.workloads.own import own

BOOT = 120.0
"""Seconds that a node takes to come. A choice: between a container and a virtual machine."""
WITHIN = 10 * MINUTE
ENOUGH = 0.95
MOST_NODES = 200
FEW = 3


@dataclass(frozen=True, slots=True)
class Days:
    """`nodes`: to which the load refers; `rhythm`: jobs at noon over jobs at night."""

    nodes: int
    hours: float
    rhythm: float


SCENARIOS = {"nights": Days(8, 48.0, 10.0), "day": Days(16, 24.0, 2.0), "constant": Days(8, 24.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Scaled:
    """What came of one simulation. `inside`: share of jobs that start in time, of all and by class; `nodes`: mean of
    the nodes that cost something, until the last submission; the sizes of the fixed fleets, 0 where they were not
    looked for; how often the fleet turned within ten minutes."""

    scenario: str
    load: float
    seed: int
    jobs: int
    inside: float
    by_class: dict[str, float]
    nodes: float
    most: int
    peak: int
    same: int
    enough: int
    up_down: int
    down_up: int
    moves: int

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


Task = tuple[str, float, int]
"""Scenario, load, seed."""


def tasks(seeds: int) -> list[Task]:
    """All of a full run: so many seeds for what has a target, few for the day that only informs."""
    numbers = range(1, seeds + 1)
    return [
        *(("nights", load, seed) for load in (0.9, 1.0) for seed in numbers),
        *(("day", load, seed) for load in (0.9, 1.0) for seed in numbers[:FEW]),
        *(("constant", 0.9, seed) for seed in numbers),
    ]


def work_off(wanted: list[Task], processes: int = 2) -> list[Scaled]:
    """The results in the order of the tasks."""
    done: dict[Task, Scaled] = {}
    with ProcessPoolExecutor(processes) as pool:
        futures = {pool.submit(run, *task): task for task in wanted}
        for future in as_completed(futures):
            found = done[futures[future]] = future.result()
            print(
                f"[{len(done)}/{len(wanted)}] autoscaled {found.scenario} load {found.load} seed {found.seed}: "
                f"{found.inside:.3f} in time with {found.nodes:.1f} nodes, {found.peak} at the peak",
                file=sys.stderr,
                flush=True,
            )
    return [done[task] for task in wanted]


def run(scenario: str, load: float, seed: int) -> Scaled:
    """One simulation, and the fixed fleets beside it."""
    days = SCENARIOS[scenario]
    trace = trace_of(own(days.nodes, classes=True, name="classes"), seed, load, days.hours, days.rhythm)
    kind = NodeType("worker", trace.nodes[0].capacity, boot=BOOT, most=MOST_NODES)
    found = Autoscaled(trace, [kind]).run()
    share, by_class = in_time(found.jobs)
    up_down, down_up = found.turns(WITHIN)
    fixed = scenario != "constant"
    return Scaled(
        scenario, load, seed, len(trace.jobs), share, by_class,
        nodes=found.node_time(trace.horizon) / trace.horizon,
        most=found.most(),
        peak=peak_of(trace) if fixed else 0,
        same=smallest(trace, share) if fixed else 0,
        enough=smallest(trace, ENOUGH) if fixed else 0,
        up_down=up_down, down_up=down_up, moves=len(found.moves),
    )  # fmt: skip


def in_time(history: History) -> tuple[float, dict[str, float]]:
    """The share of jobs that started within the target of their class; and by class."""
    good = {
        p: [history.wait(j) <= TARGETS[p] * SECOND for j in history.trace.jobs if j.priority is p] for p in Priority
    }
    everybody = [one for some in good.values() for one in some]
    return sum(everybody) / len(everybody), {p.value: sum(some) / len(some) for p, some in good.items() if some}


class Counting(Ours):
    """Knows how many nodes were in use at once."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._runs: dict[str, int] = {}

    def started(self, run: Run) -> None:
        super().started(run)
        self._runs[run.node_id] = self._runs.get(run.node_id, 0) + 1
        self.most = max(self.most, len(self._runs))

    def ended(self, run: Run) -> None:
        super().ended(run)
        self._runs[run.node_id] -= 1
        if not self._runs[run.node_id]:
            del self._runs[run.node_id]


def peak_of(trace: Trace) -> int:
    """The most nodes in use at once when there are so many that nobody waits."""
    policy = Counting()
    simulate(fixed_at(trace, MOST_NODES // 2), policy)
    return policy.most


def smallest(trace: Trace, share: float) -> int:
    """The size of the smallest fixed fleet with that share of jobs in time; by bisection."""
    low, high = 1, 2 * peak_of(trace)
    while low < high:
        middle = (low + high) // 2
        enough = in_time(simulate(fixed_at(trace, middle), Ours()))[0] >= share
        low, high = (low, middle) if enough else (middle + 1, high)
    return low


def fixed_at(trace: Trace, nodes: int) -> Trace:
    """The same jobs on so many nodes."""
    return replace(trace, nodes=some_nodes(nodes))
