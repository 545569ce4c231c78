"""The service's own policy: the real planner on snapshots made as the service makes them.

What goes from one cycle to the next is what the service stores: promises, the credit of the lane, the tenants' history.
"""

from __future__ import annotations

from dataclasses import replace

from app.domain.fairness import NOTHING, Usage, decayed
from app.domain.promises import Promise
from app.domain.resources import Vector
from app.scheduler.planner import Plan, plan
from app.scheduler.profile import Live
from app.scheduler.rules import Rules
from app.scheduler.snapshot import Snapshot, members_wanted, with_members
from bench.sim.engine import History, Start
from bench.sim.index import Index
from bench.sim.jobs import SimJob
from bench.sim.ledger import Ledger, Run

LANE = 64
"""Overdue jobs that a cycle is told of."""
MAY_REVOKE = "higher_class"
"""The only cause for which a promise may fall here: simulated nodes are never lost, and no run is paused."""


class PlannerFault(Exception):
    """The planner could not plan a bucket."""


class Ours:
    """`plan()` with these rules. Counts promises that were not kept: by their limit, or silently forgotten."""

    def __init__(self, rules: Rules | None = None, name: str = "ours") -> None:
        self.name = name
        self.rules = rules or Rules()
        self.index = Index()
        self.credit = 0
        self.promises: tuple[Promise, ...] = ()
        self.revoked: dict[str, int] = {}
        self.broken: list[str] = []
        self.promised = 0
        self.overdue: set[str] = set()
        self._jobs: dict[str, SimJob] = {}
        self._live: dict[tuple[str, int], Live] = {}
        self._usage: dict[str, Usage] = {}
        self._held: dict[str, Vector] = {}

    def submitted(self, job: SimJob) -> None:
        self._jobs[job.id] = job
        self.index.add(job)

    def started(self, run: Run) -> None:
        job, now = run.job, run.started
        self.index.remove(job.id)
        del self._jobs[job.id]
        live = Live(job.id, 1, job.tenant, job.priority, now, now + job.cautious, now + job.hard, now + job.mean)
        self._live[job.id, 1] = live
        self._remember(job.tenant, now)
        self._held[job.tenant] = self._held.get(job.tenant, Vector()) + job.vector

    def ended(self, run: Run) -> None:
        del self._live[run.job.id, 1]
        self._remember(run.job.tenant, run.ends)
        self._held[run.job.tenant] = self._held[run.job.tenant] - run.job.vector

    def decide(self, ledger: Ledger, now: int) -> tuple[list[Start], bool]:
        """One cycle. Raises PlannerFault."""
        if not self.index.members:
            return [], False
        for tenant in self._held:
            self._remember(tenant, now)
        made = plan(self.snapshot(ledger, now))
        if made.faults:
            raise PlannerFault(dict(made.faults))
        self.credit = made.credit
        self._check(made, now)
        self.overdue |= {p.job_id for p in made.placements if p.overdue}
        return [Start(self._jobs[p.job_id], p.node_id, p.gpu_indices) for p in made.placements], made.capped

    def snapshot(self, ledger: Ledger, now: int) -> Snapshot:
        """The state as the planner is told it."""
        waiting = {p.job_id: self.index.waiting(p.job_id) for p in self.promises if p.job_id in self.index.members}
        first = Snapshot(
            tuple(ledger.nodes.values()),
            self.index.heads(),
            self.rules,
            now,
            self._live,
            self.index.overdue(now, LANE),
            self.promises,
            waiting,
            self.credit,
            {tenant: usage.held for tenant, usage in self._usage.items()},
        )
        return with_members(first, self.index.more(members_wanted(first)))

    def finish(self, history: History) -> None:
        """Hand over what was counted."""
        history.overdue = self.overdue
        history.broken, history.revoked, history.promised = self.broken, self.revoked, self.promised

    def _remember(self, tenant: str, now: int) -> None:
        """The tenant's history up to now, before what it holds changes."""
        usage = self._usage.get(tenant, Usage(NOTHING, now))
        self._usage[tenant] = decayed(usage, self._held.get(tenant, Vector()), now, self.rules.half_life)

    def _check(self, made: Plan, now: int) -> None:
        before = {p.job_id: p for p in self.promises}
        placed = {p.job_id for p in made.placements}
        gone = {r.promise.job_id for r in made.revoked}
        after = {p.job_id: p for p in made.promises}
        for job_id, promise in before.items():
            if job_id in gone:
                continue
            if now > promise.limit:
                self.broken.append(f"{job_id} was promised {promise.node_id} by {promise.limit}, at {now} it waited")
            elif job_id not in placed and after.get(job_id, replace(promise, limit=0)).limit != promise.limit:
                self.broken.append(f"the promise to {job_id} was forgotten at {now}")
        for revoked in made.revoked:
            self.revoked[revoked.cause] = self.revoked.get(revoked.cause, 0) + 1
            if revoked.cause != MAY_REVOKE:
                self.broken.append(f"the promise to {revoked.promise.job_id} fell at {now}: {revoked.cause}")
        self.promised += len(after.keys() - before.keys())
        self.promises = made.promises
