"""Compare the ledger with live runs, both ways, and SCHEDULED jobs with what was started.

An allocation without a live run is released; a live run without one gets it back where there is room. Both only after
a grace. `leaked_allocations` tells what was found in the last look; at rest it is 0.

How long a thing has been wrong is how long this process has seen it wrong: the times in the documents are those of
other clocks, which may be wrong by minutes.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from app.domain.job import Job
from app.domain.states import JobStatus
from app.domain.transitions import lose_dispatch
from app.metrics import Metrics
from app.operations.change import commit_all
from app.scheduler.commit import by_node, dispatch
from app.scheduler.loading import load
from app.scheduler.repairs import (
    MAY_HOLD_ROOM,
    Held,
    Suspects,
    allocation_for,
    allocations_of,
    holds_room,
    live_runs,
    overdue_dispatches,
)
from app.services import Services

log = structlog.get_logger()
MOST_OVERDUE = 1_000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a thing may be wrong before it is mended: all multiples of the time between two looks."""

    leak: timedelta
    ring: timedelta
    give_up: timedelta

    @classmethod
    def of(cls, look: timedelta) -> Patience:
        return cls(leak=2 * look, ring=look, give_up=6 * look)


class Ledger:
    """Keeps ledger, runs and dispatches in agreement."""

    def __init__(self, services: Services, metrics: Metrics, patience: Patience) -> None:
        self._services = services
        self._metrics = metrics
        self._patience = patience
        self._leaked: Suspects[Held] = Suspects()
        self._missing: Suspects[Held] = Suspects()
        self._unstarted: Suspects[Held] = Suspects()

    async def compare(self) -> None:
        """Allocations against live runs. Runs are read first: a run that is live then has had its allocation before."""
        live = live_runs(await self._services.jobs.in_state(MAY_HOLD_ROOM))
        nodes = await self._services.nodes.all()
        held = allocations_of(nodes)
        now, grace = time.monotonic(), self._patience.leak.total_seconds()
        leaked = await self._without_run(self._leaked.confirmed(held - live, now, grace))
        self._metrics.leaked_allocations.set(len(leaked))
        await self._release(leaked)
        await self._reserve_again(self._missing.confirmed(live - held, now, grace))

    async def ring_again(self) -> None:
        """SCHEDULED jobs that nobody started: their nodes are told again, in the end they go back to the queue."""
        scheduled = live_runs(await self._services.jobs.in_state([JobStatus.SCHEDULED]))
        now = time.monotonic()
        late = self._unstarted.confirmed(scheduled, now, self._patience.ring.total_seconds())[:MOST_OVERDUE]
        if not late:
            return
        given_up = self._unstarted.confirmed(scheduled, now, self._patience.give_up.total_seconds())
        nodes = {n.id: n for n in await self._services.nodes.all()}
        overdue = overdue_dispatches(late, given_up, nodes)
        await self._ring(await self._unstarted_jobs(overdue.ring))
        await self._take_back(await self._unstarted_jobs(overdue.take_back))

    async def _unstarted_jobs(self, late: Sequence[Held]) -> list[Job]:
        """Those of the jobs, loaded now, that still wait for their start under the same run."""
        jobs = (await load(self._services, [held.job_id for held in late])).jobs
        found = [(held, jobs.get(held.job_id)) for held in late]
        return [job for held, job in found if job and job.status is JobStatus.SCHEDULED and holds_room(job, held)]

    async def _without_run(self, suspects: Sequence[Held]) -> list[Held]:
        """Those whose job, loaded now, does not hold this place."""
        loaded = await load(self._services, {s.job_id for s in suspects})
        return [s for s in suspects if s.job_id not in loaded.faults and not holds_room(loaded.jobs.get(s.job_id), s)]

    async def _release(self, leaked: Iterable[Held]) -> None:
        groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for held in leaked:
            log.warning("ledger.leak_released", **held._asdict())
            groups[held.node_id].append((held.job_id, held.run_no))
        counts = await asyncio.gather(*(self._services.nodes.release(n, runs) for n, runs in groups.items()))
        self._metrics.ledger_repairs.labels("released").inc(sum(counts))

    async def _reserve_again(self, missing: Sequence[Held]) -> None:
        if not missing:
            return
        jobs = (await load(self._services, {m.job_id for m in missing})).jobs
        nodes = {n.id: n for n in await self._services.nodes.all()}
        for held in missing:
            job, node = jobs.get(held.job_id), nodes.get(held.node_id)
            if job is None or node is None or not holds_room(job, held):
                continue
            granted = await self._services.nodes.reserve(node.id, [allocation_for(job, node)], node.epoch)
            self._metrics.ledger_repairs.labels("reserved" if granted else "refused").inc()
            log.warning("ledger.run_without_room", granted=granted, **held._asdict())

    async def _ring(self, jobs: Sequence[Job]) -> None:
        if jobs:
            log.info("dispatch.rung_again", runs=len(jobs))
            self._metrics.dispatch_redelivered.labels("rung").inc(len(jobs))
            await dispatch(self._services, by_node(jobs))

    async def _take_back(self, jobs: Sequence[Job]) -> None:
        if jobs:
            pairs = [(job, lose_dispatch(job, self._services.stamp())) for job in jobs]
            taken = [job.id for job in await commit_all(self._services, pairs) if job is not None]
            log.warning("dispatch.taken_back", runs=len(taken))
            self._metrics.dispatch_redelivered.labels("taken_back").inc(len(taken))
