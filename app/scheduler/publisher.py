"""Tell everybody why jobs wait and when they should start: the board, and the gauges of the cluster.

A board is made when something changed, and every few seconds so that a lost one comes back. Making it may be costly
with many waiting, so it takes at most a twentieth of the leader's time, and with a long queue it is made beside the
cycles, in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog

from app.domain.ageing import cost_of, credit_after
from app.domain.errors import Unavailable
from app.domain.priority import Priority, moment
from app.domain.records import Board, BucketHead
from app.domain.scheduler_state import QueuePause
from app.metrics import Metrics
from app.scheduler.calibrator import Calibrator
from app.scheduler.cluster_gauges import ClusterGauges
from app.scheduler.forecast import forecast
from app.scheduler.planner import Plan, shares_of
from app.scheduler.snapshot import Snapshot
from app.scheduler.verdicts import verdicts
from app.services import Services

log = structlog.get_logger()
LEAST_GAP = 0.25
"""Seconds between two boards while things change."""
REFRESH = 5.0
"""Seconds after which a board is published again although nothing changed."""
COST_FACTOR = 20.0
"""A board that took a second is followed by the next no sooner than this many seconds later."""
LONG_QUEUE = 200
"""With more waiting jobs than this the cycles do not wait for the board."""
WAITED_MAX_AGE = 5.0


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to tell after a cycle: how things stand, what was decided, the queue's pause, and `loss`: by class
    the share of the cluster that higher classes will take; `empty`: buckets in which jobs waited lately."""

    snapshot: Snapshot
    plan: Plan
    pause: QueuePause | None = None
    loss: Mapping[Priority, float] = field(default_factory=dict)
    empty: tuple[BucketHead, ...] = ()


class Publisher:
    """The leader's last board, and when the next is due."""

    def __init__(self, services: Services, metrics: Metrics, calibrator: Calibrator) -> None:
        self._services = services
        self._metrics = metrics
        self._gauges = ClusterGauges(metrics, services.settings.lease.duration)
        self._calibrator = calibrator
        self._bands: dict[str, int] = {}
        self._next = 0.0
        self._refresh = 0.0
        self._pace = 0.0
        self._seen: tuple[object, ...] = ()
        self._making: asyncio.Task[None] | None = None
        self.board: Board | None = None
        """What was published last, while this process leads."""

    async def tell(self, told: Told, *, changed: bool) -> float | None:
        """Publish what holds after this cycle, if due. Seconds until an untold change is due; None when all is told."""
        if self._making is not None and not self._making.done():
            return LEAST_GAP
        moment, snapshot = time.monotonic(), told.snapshot
        changed = changed or _fingerprint(told) != self._seen
        if moment < (self._next if changed else self._refresh):
            return self._next - moment if changed else None
        if snapshot.waiting > LONG_QUEUE:
            self._making = asyncio.create_task(self._in_background(told), name="scheduler.board")
        else:
            await self._publish(told)
        return None

    async def _in_background(self, told: Told) -> None:
        """A pass over a long queue holds up no cycle; what goes wrong with it is told, and the next one comes."""
        try:
            await self._publish(told)
        except Unavailable as error:
            log.warning("board.store_away", store=error.store)
        except Exception:
            log.exception("board.failed")
            self._metrics.cycle_failures.labels("board").inc()

    async def _publish(self, told: Told) -> None:
        began = time.monotonic()
        snapshot, pace = told.snapshot, self._pace
        windows, waits = self._calibrator.windows(), await self._calibrator.mean_waits()

        def make() -> Board:
            board = board_of(told, pace)
            return replace(board, forecast=replace(board.forecast, windows=windows, mean_waits=waits))

        board = await asyncio.to_thread(make) if snapshot.waiting > LONG_QUEUE else make()
        self._pace = board.forecast.pace
        bands = {tenant: band for tenant, band in board.bands.items() if band}
        if bands != self._bands:
            await self._services.queue.publish_bands(bands)
            self._bands = bands
        await self._services.queue.publish(board)
        self.board = board
        self._seen = _fingerprint(told)
        since = await self._services.recent.get("queued_since", self._services.jobs.queued_since, WAITED_MAX_AGE)
        self._gauges.show(snapshot, board.verdicts, since)
        ended = time.monotonic()
        self._next = ended + max(LEAST_GAP, COST_FACTOR * (ended - began))
        self._refresh = max(self._next, ended + REFRESH)

    def withdraw(self) -> None:
        """No more boards from here, and no gauges: another process leads, or this one stops."""
        if self._making is not None:
            self._making.cancel()
        self._gauges.forget()
        self._seen, self._refresh, self._next, self.board = (), 0.0, 0.0, None


def board_of(told: Told, pace: float) -> Board:
    """All that is told: when jobs should start, why they wait, in which order, and what is promised."""
    snapshot = told.snapshot
    shares = shares_of(snapshot)
    return Board(
        at=moment(snapshot.now),
        forecast=forecast(snapshot, pace, told.loss, told.empty),
        verdicts=verdicts(snapshot, told.plan, told.pause),
        bands={tenant: shares.band(tenant) for tenant in sorted(shares.active)},
        lane=lane_first(snapshot),
        promises=snapshot.promises,
        paused=told.pause is not None,
    )


def lane_first(snapshot: Snapshot) -> tuple[str, ...]:
    """The overdue that the next cycle takes before all others: as many as the credit allows."""
    credit, first = snapshot.credit, []
    for waiting in snapshot.lane:
        if credit < 0:
            break
        first.append(waiting.member.job_id)
        cost = cost_of(waiting.member.demand, snapshot.capacity)
        credit = credit_after(credit, cost, snapshot.rules.ageing, from_lane=True)
    return tuple(first)


def _fingerprint(told: Told) -> tuple[object, ...]:
    """What, when it changes, makes the last board out of date."""
    snapshot = told.snapshot
    heads = tuple((h.bucket_id, h.count) for h in snapshot.heads)
    nodes = tuple((n.id, n.state, n.free) for n in snapshot.nodes)
    return heads, nodes, snapshot.slots_used, told.pause, tuple(p.job_id for p in snapshot.promises)
