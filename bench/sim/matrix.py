"""All tasks of a run, and how they are worked off: by two processes, with a word after each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from time import monotonic

from bench.sim.scenarios import ANNOUNCING, FRESH, OURS, Outcome, Task, run

MAIN = ("fifo", "best-effort", "easy", "easy-sjf", OURS)
MAIN_LOADS = (0.9, 1.0)
PUBLIC = ("philly", "helios", "alibaba", "borg")
PROCESSES, FEW, ANNOUNCED = 2, 2, 3


def full(seeds: int = 10, *, targets_only: bool = False) -> list[Task]:
    """So many seeds for what has a target; two where figures only inform, unless they are left out."""
    informing = [] if targets_only else _informing(range(1, min(seeds, FEW) + 1))
    return [*_targets(range(1, seeds + 1)), *informing]


def _targets(seeds: Sequence[int]) -> list[Task]:
    return [
        *_tasks(["own"], MAIN_LOADS, seeds, MAIN),
        *_tasks(["own"], MAIN_LOADS, seeds, [OURS], errors=["÷5", "random"]),
        *windows(seeds[:ANNOUNCED]),
        *_tasks(["sweep"], [0.8], seeds, ["strict", "growing", OURS]),
        *_tasks(["tenants"], [1.2], seeds, ["best-effort", OURS], hours=12.0),
        *_tasks(["classes"], [1.2], seeds, [OURS], hours=12.0),
    ]


def windows(seeds: Sequence[int] = range(1, ANNOUNCED + 1)) -> list[Task]:
    """The days on which start estimates are announced and scored."""
    return _tasks(["own"], MAIN_LOADS, seeds, [ANNOUNCING, FRESH])


def _informing(few: Sequence[int]) -> list[Task]:
    return [
        *_tasks(["own"], MAIN_LOADS, few, ["slurm"]),
        *_tasks(["own"], MAIN_LOADS, few, [OURS], errors=["×5"]),
        *_tasks(["own"], [0.7, 1.2], few, MAIN),
        *_tasks(["classes"], [1.0], few, ["strict", "growing", "slurm", OURS]),
        *_tasks(PUBLIC, [0.9], few, ["fifo", "best-effort", "easy", OURS]),
    ]


def quick() -> list[Task]:
    """Two seeds of short days: what the table looks like, not what it says."""
    seeds, hours = (1, 2), 8.0
    return [
        *_tasks(["own"], MAIN_LOADS, seeds, MAIN, hours),
        *_tasks(["own"], MAIN_LOADS, seeds, [OURS], hours, ["÷5", "random"]),
        *_tasks(["sweep"], [0.8], seeds, ["strict", "growing", OURS], 12.0),
        *_tasks(["tenants"], [1.2], seeds, ["best-effort", OURS], hours),
        *_tasks(["classes"], [1.2], seeds, ["slurm", OURS], hours),
        *_tasks(PUBLIC, [0.9], [1], ["best-effort", OURS], 4.0),
    ]


def work_off(tasks: list[Task]) -> list[Outcome]:
    """The outcomes in the order of the tasks. Raises what a simulation raises: an impossible placement ends the run."""
    began = monotonic()
    done: dict[Task, Outcome] = {}
    with ProcessPoolExecutor(PROCESSES) as pool:
        futures = [pool.submit(run, task) for task in sorted(tasks, key=_heavy, reverse=True)]
        for future in as_completed(futures):
            outcome = future.result()
            done[outcome.task] = outcome
            task = outcome.task
            print(
                f"[{len(done)}/{len(tasks)}, {monotonic() - began:.0f} s] {task.scenario} load {task.load} "
                f"seed {task.seed} {task.policy} {task.error}: mean wait {outcome.metrics['mean']:.1f} min",
                file=sys.stderr,
                flush=True,
            )
    return [done[task] for task in tasks]


def _heavy(task: Task) -> float:
    return task.load * task.hours * {ANNOUNCING: 3.0, FRESH: 6.0, "slurm": 4.0, OURS: 2.0}.get(task.policy, 1.0)


def _tasks(
    scenarios: Iterable[str], loads: Iterable[float], seeds: Iterable[int], policies: Iterable[str],
    hours: float = 24.0, errors: Iterable[str] = ("right",),
) -> list[Task]:  # fmt: skip
    found = product(scenarios, loads, seeds, policies, errors)
    return [Task(scenario, load, seed, policy, hours, error) for scenario, load, seed, policy, error in found]
