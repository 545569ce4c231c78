"""What the leader carries from cycle to cycle: credit, promises, shares, live runs, and whether the queue is paused.

Read from the store when a term begins. It is written in the background, at most once a second: a leader that dies loses
a second of credit, and promises of a second are made anew by the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from app.domain.errors import Unavailable
from app.domain.fairness import NOTHING, Usage, decayed
from app.domain.promises import Promise
from app.domain.resources import Vector, total
from app.domain.scheduler_state import SchedulerState
from app.metrics import Metrics
from app.scheduler.live_runs import LiveRuns
from app.scheduler.planner import Plan
from app.scheduler.preemption import AN_HOUR
from app.scheduler.snapshot import Snapshot
from app.services import Services

log = structlog.get_logger()
KEEP_EVERY = 1.0
FORGOTTEN = 1e-6
"""Share of what it was below which a tenant's past is forgotten."""


class Standing:
    """The leader's memory."""

    def __init__(self, services: Services, metrics: Metrics) -> None:
        self.live = LiveRuns(services)
        self._services = services
        self._metrics = metrics
        self._state: SchedulerState | None = None
        self._kept: SchedulerState | None = None
        self._term = 0
        self._kept_at = 0.0
        self._keeping: asyncio.Task[None] | None = None

    async def state(self, term: int) -> SchedulerState:
        """As this leader has it; from the store when the term is a new one."""
        if self._state is None or term != self._term:
            self._kept = self._state = await self._services.scheduler.state()
            self._term = term
        return self._state

    def after(self, snapshot: Snapshot, plan: Plan, placed: Sequence[str]) -> None:
        """Remember what a cycle decided, and made true of it."""
        for revoked in plan.revoked:
            self._metrics.promises_revoked.labels(revoked.cause).inc()
            log.info("promise.revoked", job_id=revoked.promise.job_id, cause=revoked.cause)
        promises = (*plan.promises, *_still_waiting(snapshot, plan, placed))
        recent = tuple(at for at in snapshot.preempted if snapshot.now - at < AN_HOUR)
        asked = recent + (snapshot.now,) * len(plan.evictions)
        self._state = SchedulerState(plan.credit, promises, _usage(snapshot, self._state), asked)
        if self._state != self._kept:
            self._keep()

    def _keep(self) -> None:
        if time.monotonic() - self._kept_at < KEEP_EVERY or (self._keeping is not None and not self._keeping.done()):
            return
        self._kept_at = time.monotonic()
        self._keeping = asyncio.create_task(self._write(), name="scheduler.state")

    async def _write(self) -> None:
        """What could not be written is so at a later cycle."""
        state = self._state
        if state is None:
            return
        try:
            if not await self._services.scheduler.keep(state, self._term):
                log.warning("scheduler_state.later_leader", term=self._term)
            self._kept = state
        except Unavailable as error:
            log.warning("scheduler_state.store_away", store=error.store)

    def forget(self) -> None:
        """This process leads no more."""
        self._state = self._kept = None
        if self._keeping is not None:
            self._keeping.cancel()


def _still_waiting(snapshot: Snapshot, plan: Plan, placed: Sequence[str]) -> list[Promise]:
    """Promises of jobs that were planned and then not to be placed after all."""
    lost = {p.job_id for p in plan.placements} - set(placed)
    return [p for p in snapshot.promises if p.job_id in lost]


def _usage(snapshot: Snapshot, before: SchedulerState | None) -> dict[str, Usage]:
    """What tenants held, with what they hold now. Once a second is enough for a half-life of an hour."""
    known = dict(before.usage) if before is not None else {}
    held: dict[str, list[Vector]] = {}
    for tenant, vector in snapshot.held_by_tenant():
        held.setdefault(tenant, []).append(vector)
    now, half_life = snapshot.now, snapshot.rules.half_life
    for tenant in sorted({*known, *held}):
        usage = known.get(tenant, Usage(NOTHING, now))
        if now - usage.at >= 1_000_000 or tenant not in known:
            known[tenant] = decayed(usage, total(held.get(tenant, [])), now, half_life)
    return {tenant: u for tenant, u in known.items() if tenant in held or max(u.held) > FORGOTTEN}
