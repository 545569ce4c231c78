"""Take the runs of nodes whose lease ran out, so that others may run them. Only the leader reaps.

It fences first: the epoch of the lapsed lease is ended in one guarded update, so that a renewal under way is refused,
and a node that lives kills its runs before it registers anew. Only then the node is LOST, and only then its jobs move.
A crash between any two steps is repaired by the next pass, which finds the lease lapsed and the jobs still there.

What is moved was on the node *before* its lease was seen lapsed, and has not begun since: what a new registration of
the node starts is never touched. `hold_back` says when nothing may be concluded from a lapsed lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import structlog

from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.losses import lose_run
from app.domain.nodes import NodeState
from app.domain.ports import Lease
from app.domain.states import JobStatus
from app.domain.transitions import Change, Stamp, lose_dispatch
from app.metrics import Metrics
from app.operations.change import commit_all
from app.scheduler.commit import Checkpoint, no_checkpoint
from app.scheduler.hold_back import STORE_AWAY, HoldBack, Look, LostNode, Watch, lost_nodes, node_of
from app.scheduler.loading import load
from app.scheduler.repairs import MAY_HOLD_ROOM, Held, live_runs
from app.services import Services

log = structlog.get_logger()
LOOK_AGAIN = 10.0
"""Seconds until a node that was given up, and has no runs left, is looked at again."""
PASSES_A_BEAT = 4


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs on nodes: those that wait for their start, and those that have begun."""

    waiting: frozenset[Held]
    begun: frozenset[Held]


class Reaper:
    """One pass a second at most. `term`: the leader's, None while it does not lead."""

    def __init__(
        self,
        services: Services,
        metrics: Metrics,
        term: Callable[[], int | None],
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self._services, self._metrics, self._term, self._checkpoint = services, metrics, term, checkpoint
        self._watch = Watch()
        self._quiet: dict[tuple[str, int], float] = {}

    @property
    def every(self) -> float:
        """Seconds between two passes."""
        return min(1.0, self._services.settings.lease.beat.total_seconds() / PASSES_A_BEAT)

    @property
    def holding_back(self) -> HoldBack | None:
        """Why no node is given up at present, and until when."""
        return self._watch.held

    async def run_once(self) -> None:
        """One pass. Raises Unavailable."""
        try:
            await self._pass()
        except Unavailable:
            self._watch = self._watch.interrupted(STORE_AWAY)
            raise

    async def _pass(self) -> None:
        """At idle one question. The leases are read again after the runs: see the module."""
        leases = self._services.leases
        silent = self._silent(await leases.lapsed())
        if not silent:
            await self._look()
            return
        runs = await self._runs()
        silent = self._silent(await leases.lapsed())
        look = await self._look()
        if self._watch.held is None:
            await self._reap(silent, runs, look)

    def _silent(self, lapsed: Sequence[Lease]) -> list[Lease]:
        """The lapsed leases of nodes, less those that had nothing left a moment ago."""
        now = time.monotonic()
        self._quiet = {key: until for key, until in self._quiet.items() if until > now}
        return [s for s in lapsed if node_of(s) is not None and (s.name, s.epoch) not in self._quiet]

    async def _look(self) -> Look:
        settings, leases = self._services.settings.lease, self._services.leases
        at, primary = await asyncio.gather(leases.server_time(), leases.primary())
        look, held = Look(at, primary, self._term()), self._watch.held
        self._watch = self._watch.seen(look, settings.duration, settings.trusted - settings.beat)
        if self._watch.held is not None and self._watch.held != held:
            log.info("reaper.holding_back", cause=self._watch.held.cause, until=self._watch.held.until.isoformat())
        return look

    async def _runs(self) -> Runs:
        jobs = self._services.jobs
        waiting = live_runs(await jobs.in_state([JobStatus.SCHEDULED]))
        begun = live_runs(await jobs.in_state(MAY_HOLD_ROOM - {JobStatus.SCHEDULED}))
        return Runs(frozenset(waiting), frozenset(begun))

    async def _reap(self, silent: Sequence[Lease], runs: Runs, look: Look) -> None:
        nodes = {n.id: n for n in await self._services.nodes.all()}
        lost = lost_nodes(silent, nodes, runs.waiting | runs.begun)
        left = {node.lease.name for node in lost}
        until = time.monotonic() + LOOK_AGAIN
        self._quiet |= {(s.name, s.epoch): until for s in silent if s.name not in left}
        for node in lost:
            try:
                if await self._give_up(node, look):
                    await self._settle(node, runs, look)
            except Unavailable:
                raise
            except Exception:  # one that cannot be settled keeps no other from it
                log.exception("reaper.node_failed", node_id=node.node_id)

    async def _give_up(self, lost: LostNode, look: Look) -> bool:
        """Fence it, then say that it is lost; False when it lives after all, or has registered anew."""
        lease, node = lost.lease, lost.node
        if not await self._services.leases.fence(lease.name, lease.epoch):
            log.info("reaper.renewed", node_id=lost.node_id, epoch=lease.epoch)
            return False
        self._checkpoint("fenced")
        if node is None or node.state is NodeState.LOST:
            return True
        marked = await self._services.nodes.set_state(node.id, NodeState.LOST, "lease_expired", look.at, node.epoch)
        if marked:
            self._metrics.nodes_lost.inc()
            log.warning("node.lost", node_id=node.id, epoch=node.epoch, runs=len(lost.runs))
        self._checkpoint("lost")
        return marked

    async def _settle(self, lost: LostNode, runs: Runs, look: Look) -> None:
        """Move the jobs whose runs were there, as they are now."""
        jobs = (await load(self._services, [held.job_id for held in lost.runs])).jobs
        pairs = [(job, change) for job, change in self._decided(lost, runs, jobs.values(), look)]
        for job in await commit_all(self._services, pairs):
            if job is not None:
                self._metrics.runs_reaped.labels(job.status.value).inc()
                log.warning("run.reaped", node_id=lost.node_id, job_id=job.id, run_no=job.run_no, to=job.status.value)

    def _decided(self, lost: LostNode, runs: Runs, jobs: Iterable[Job], look: Look) -> Iterable[tuple[Job, Change]]:
        message = f"the lease of node {lost.node_id} ran out: its worker ended, stood still, or was cut off"
        for job in jobs:
            held = Held(lost.node_id, job.id, job.run_no)
            if job.node_id == lost.node_id and (held in runs.waiting or held in runs.begun):
                stamp = replace(self._services.stamp(), at=look.at)
                change = decide_reaped(job, message, stamp, begun=held in runs.begun)
                if change is not None:
                    yield job, change


def decide_reaped(job: Job, message: str, stamp: Stamp, *, begun: bool) -> Change | None:
    """What becomes of a job on a lost node; None where its run has begun since it was seen waiting, or has ended.

    A lease that ran out is no evidence of a crash, so that it makes no suspect.
    """
    if job.status is JobStatus.SCHEDULED:
        return lose_dispatch(job, stamp)
    return lose_run(job, message, stamp, crashed=False) if begun else None
