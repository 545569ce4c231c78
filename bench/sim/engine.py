"""The event loop: submissions and ends in order of time, one decision for all events of an instant."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import thread_time
from typing import Protocol

from app.domain.calibration import Calibration
from bench.sim.jobs import SimJob, Trace
from bench.sim.ledger import Ledger, Run


@dataclass(frozen=True, slots=True)
class Start:
    """A decision: this job, now, on that node, with these GPUs."""

    job: SimJob
    node_id: str
    gpus: tuple[int, ...]


class Policy(Protocol):
    """Who decides. `started` and `ended` tell it of all that the ledger does; a decision with `again` is followed by
    another at once."""

    name: str

    def submitted(self, job: SimJob) -> None: ...
    def started(self, run: Run) -> None: ...
    def ended(self, run: Run) -> None: ...
    def decide(self, ledger: Ledger, now: int) -> tuple[list[Start], bool]: ...


@dataclass(slots=True)
class History:
    """What happened. `starts`: by job id; `cycles`: seconds that each decision took; `broken`: promises not kept, in
    words; `revoked`: causes; `promised`: how many were made; `calibration`: of announced starts, if there were any."""

    trace: Trace
    policy: str
    starts: dict[str, int] = field(default_factory=dict)
    overdue: set[str] = field(default_factory=set)
    cycles: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    revoked: dict[str, int] = field(default_factory=dict)
    promised: int = 0
    calibration: Calibration | None = None

    def wait(self, job: SimJob) -> int:
        """µs from submission to start."""
        return self.starts[job.id] - job.submitted


class Stuck(Exception):
    """Nothing runs, something waits, and the policy starts nothing."""


def simulate(trace: Trace, policy: Policy) -> History:
    """Run all jobs to their ends. Raises LedgerError for an impossible placement, Stuck when jobs never start."""
    ledger, history = Ledger(trace.nodes), History(trace, policy.name)
    arrivals = iter(trace.jobs)
    coming = next(arrivals, None)
    ends: list[tuple[int, str]] = []
    while coming is not None or ends:
        now = min(([ends[0][0]] if ends else []) + ([coming.submitted] if coming else []))
        while ends and ends[0][0] <= now:
            policy.ended(ledger.end(heapq.heappop(ends)[1]))
        while coming is not None and coming.submitted <= now:
            policy.submitted(coming)
            coming = next(arrivals, None)
        for run in _decide(policy, ledger, history, now):
            heapq.heappush(ends, (run.ends, run.job.id))
    if missing := len(trace.jobs) - len(history.starts):
        raise Stuck(f"{policy.name}: {missing} jobs never start")
    if hasattr(policy, "finish"):
        policy.finish(history)
    return history


def _decide(policy: Policy, ledger: Ledger, history: History, now: int) -> Iterable[Run]:
    again = True
    while again:
        before = thread_time()
        starts, again = policy.decide(ledger, now)
        history.cycles.append(thread_time() - before)
        for start in starts:
            run = ledger.start(start.job, start.node_id, start.gpus, now)
            history.starts[start.job.id] = now
            policy.started(run)
            yield run
