"""The scheduler as a service of a process: leader, cycles, timers, reaper, reconciler: each a loop under supervision.

Every process may run one; the leader works and the others stand by. A cycle runs on a ring of the scheduler's bell, at
the latest after the interval: rings are hints, looking is the truth. Rings that come close together share a cycle. A
store that is away, or a cycle that fails, costs time and never ends the loop.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from app.domain.errors import Unavailable
from app.domain.ports import ROOM_BELL, SCHEDULER_BELL, SWEEP_BELL, Waker
from app.lifecycle import Loop, ServiceGroup
from app.metering import Labels, RunMeter, template_labels
from app.metrics import Metrics
from app.scheduler import batch_keeper, callbacks, index_keeper
from app.scheduler.autoscaler import Autoscaler, Sight
from app.scheduler.commit import Checkpoint, no_checkpoint
from app.scheduler.cycle import Cycle, Outcome
from app.scheduler.hold_back import HoldBack
from app.scheduler.leader import Leader
from app.scheduler.periodic import LEAST_GAP, STANDBY, OnBell, Periodic, first
from app.scheduler.reaper import Reaper
from app.scheduler.reconciler import Reconciler
from app.scheduler.retention import EVERY, Retention
from app.scheduler.statistics import EVERY as STATISTICS_EVERY
from app.scheduler.statistics import Statistics
from app.scheduler.sweeper import EVERY as SWEEPS_EVERY
from app.scheduler.sweeper import Sweeper
from app.scheduler.timers import Timers
from app.scheduler.workflow_keeper import WorkflowKeeper
from app.services import Services

log = structlog.get_logger()
FUTILE_REST, LONGEST_REST = 20.0, 0.1
"""After a cycle that could place nothing, further jobs wait for this many times its duration, at most so many seconds,
unless room comes: submits to a full cluster must not spend the process on cycles that cannot place them."""
BACKOFF = (0.25, 0.5, 1.0, 2.0)
"""Seconds until the next try after one, two, three and more failures in a row."""
FUTILE = 3
"""Cycles in a row that ask for another at once but place nothing, before the interval is waited for."""


@dataclass(frozen=True, slots=True)
class SchedulerStatus:
    """What `/readyz` tells of the scheduler. `cycle_age`: seconds since the last whole cycle of this process;
    `trouble`: why a leader's last cycle was given up; `lacks`: the store that it then waited for; `holding_back`: why,
    and until when, a leader gives up no node whose lease has lapsed."""

    leading: bool
    term: int | None
    cycle_age: float | None
    trouble: str | None
    lacks: str | None = None
    holding_back: HoldBack | None = None
    loops: Mapping[str, float | None] = field(default_factory=dict)
    """Of each periodic loop the seconds since it last did its work whole; None before it has."""


class CycleLoop(Loop):
    """Runs cycles while this process leads."""

    grace = 5.0

    def __init__(self, services: Services, metrics: Metrics, leader: Leader, checkpoint: Checkpoint) -> None:
        super().__init__("scheduler.cycle")
        self._services = services
        self._metrics = metrics
        self._leader = leader
        self._cycle = Cycle(services, metrics, checkpoint)
        self._failures = 0
        self._futile = 0
        self._gap = LEAST_GAP
        self.ended_at: float | None = None
        """When the last whole cycle ended, or, before the first, when this process began to lead."""
        self.trouble: str | None = None
        self.lacks: str | None = None

    async def run(self) -> None:
        bells = self._services.bells
        async with bells.listen(SCHEDULER_BELL) as jobs, bells.listen(ROOM_BELL) as room:
            while not self.stopping.is_set():
                await self._stand_by()
                await self._lead(jobs, room)

    def sight(self) -> Sight | None:
        """How things stand and are expected to go on, as of the last cycle; None before the first."""
        left, board = self._cycle.left, self._cycle.publisher.board
        return None if left is None or board is None else Sight(left, board.forecast, self._cycle.arrivals.taken)

    async def _stand_by(self) -> None:
        while not self._leader.leading and await self.pause(STANDBY):
            pass

    async def _lead(self, jobs: Waker, room: Waker) -> None:
        self.ended_at = time.monotonic()
        try:
            while self._leader.leading and not self.stopping.is_set():
                await self._idle(jobs, room, await self._turn())
        finally:
            self._cycle.publisher.withdraw()
            self._cycle.standing.forget()
            self._cycle.recorder.forget()
            self._cycle.calibrator.forget()
            self._cycle.left = None
            self._went_well()

    async def _turn(self) -> float:
        """One cycle; answers how long to wait for a ring before the next."""
        began = time.monotonic()
        try:
            outcome = await self._cycle.run_once(self._leader.term_number or 0)
        except Unavailable as error:
            return self._failed("store_away", error)
        except Exception as error:
            log.exception("cycle.failed")
            return self._failed("error", error)
        if self._failures:
            log.info("cycle.goes_on", failures=self._failures)
        self._went_well()
        self.ended_at = time.monotonic()
        self._gap = self._gap_after(outcome, self.ended_at - began)
        return self._rest(outcome)

    def _went_well(self) -> None:
        """Nothing is wrong with this process's cycles, or it is no longer the one that has any."""
        self._failures, self.trouble, self.lacks = 0, None, None

    def _gap_after(self, outcome: Outcome, took: float) -> float:
        """Seconds for which further jobs gather; what brings room is answered at once."""
        if not outcome.futile:
            return LEAST_GAP
        if outcome.deserted:
            return self._services.settings.scheduler.interval.total_seconds()
        return max(LEAST_GAP, min(LONGEST_REST, FUTILE_REST * took))

    def _rest(self, outcome: Outcome) -> float:
        interval = self._services.settings.scheduler.interval.total_seconds()
        self._futile = self._futile + 1 if outcome.again and not outcome.placed else 0
        if outcome.again and self._futile < FUTILE:
            return 0.0
        return interval if outcome.untold is None else min(interval, outcome.untold)

    def _failed(self, cause: str, error: Exception) -> float:
        delay = BACKOFF[min(self._failures, len(BACKOFF) - 1)]
        self._failures += 1
        self.lacks = error.store if isinstance(error, Unavailable) else None
        self.trouble = f"{type(error).__name__}: {error}" if self.lacks is None else f"{self.lacks} does not answer"
        self._metrics.cycle_failures.labels(cause).inc()
        known = {"failures": self._failures, "trouble": self.trouble, "retry_in": delay}
        log.warning("cycle.given_up", cause=cause, **known, **({"store": self.lacks} if self.lacks else {}))
        return delay

    async def _idle(self, jobs: Waker, room: Waker, seconds: float) -> None:
        """Until a ring, the time, or the stop; never shorter than the gap, in which further rings gather."""
        if self._failures or not seconds:
            await self.pause(seconds)
            return
        began = time.monotonic()
        await first(self.stopping, jobs.wait(seconds), room.wait(seconds))
        left = began + self._gap - time.monotonic()
        if left > LEAST_GAP:
            await first(self.stopping, room.wait(left))
        elif left > 0:
            await self.pause(left)


class SchedulerService(ServiceGroup):
    """The scheduler of one process."""

    def __init__(
        self,
        services: Services,
        metrics: Metrics,
        *,
        checkpoint: Checkpoint = no_checkpoint,
        templates: Labels | None = None,
    ) -> None:
        """`templates`: those that metrics tell apart."""
        scheduler = services.settings.scheduler
        self._leader = Leader(services, metrics, holder_name())
        self._cycles = CycleLoop(services, metrics, self._leader, checkpoint)
        self._reaper = Reaper(services, metrics, lambda: self._leader.term_number, checkpoint)
        reconciler, timers = Reconciler(services, metrics), Timers(services)
        every = services.settings.capacity.interval.total_seconds()
        autoscaler = Autoscaler(services, metrics, lambda: self._leader.term_number, self._cycles.sight, checkpoint)
        statistics = Statistics(services, RunMeter(metrics, templates or template_labels()))
        keeper = WorkflowKeeper(services, checkpoint)
        told = callbacks.Callbacks(services, metrics)
        members = (
            self._leader,
            Periodic("scheduler.reconciler", self._leader, scheduler.reconcile.total_seconds(), reconciler.run_once),
            Periodic("scheduler.index", self._leader, index_keeper.EVERY, reconciler.index.restore),
            Periodic("scheduler.batches", self._leader, batch_keeper.EVERY, reconciler.batches.carry_out),
            OnBell(
                "scheduler.sweeps",
                self._leader,
                SWEEPS_EVERY,
                Sweeper(services, metrics).run_once,
                services.bells,
                SWEEP_BELL,
            ),
            Periodic("scheduler.callbacks", self._leader, callbacks.EVERY, told.run_once),
            Periodic("scheduler.retention", self._leader, EVERY, Retention(services).run_once),
            Periodic("scheduler.statistics", self._leader, STATISTICS_EVERY, lambda: statistics.run_once(self._term)),
            Periodic("scheduler.timers", self._leader, scheduler.interval.total_seconds(), timers.fire),
            Periodic("scheduler.workflows", self._leader, scheduler.reconcile.total_seconds(), keeper.run_once),
            Periodic("scheduler.moments", self._leader, scheduler.interval.total_seconds(), keeper.fire),
            Periodic("scheduler.reaper", self._leader, self._reaper.every, self._reaper.run_once),
            Periodic("scheduler.capacity", self._leader, every, autoscaler.run_once, autoscaler.withdraw),
            self._cycles,
        )
        super().__init__("scheduler", members)

    @property
    def leading(self) -> bool:
        return self._leader.leading

    @property
    def _term(self) -> int:
        return self._leader.term_number or 0

    def status(self) -> SchedulerStatus:
        """What is so now."""
        leading = self._leader.leading
        holding_back = self._reaper.holding_back if leading else None
        loops = {m.name: _age(m.succeeded_at) for m in self.members if isinstance(m, Periodic)}
        cycles, term = self._cycles, self._leader.term_number
        age = _age(cycles.ended_at)
        return SchedulerStatus(leading, term, age, cycles.trouble, cycles.lacks, holding_back, loops)


def _age(moment: float | None) -> float | None:
    return None if moment is None else time.monotonic() - moment


def holder_name() -> str:
    """A name that no other process has, that people can read."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
