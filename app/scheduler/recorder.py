"""The decision log: what each cycle decided, written beside the cycles.

A cycle only hands over its snapshot and its plan, which nobody changes. Encoding and writing take at most a fifth of a
core; when decisions come faster than that, the oldest that are still to be written are left out and counted in the log.
Nothing that goes wrong here reaches a cycle.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, replace
from importlib.metadata import version

import structlog

from app.domain.canonical import digest, packed
from app.domain.decisions import Decision, decision_id
from app.domain.errors import Unavailable
from app.domain.priority import moment
from app.domain.scheduler_state import QueuePause
from app.scheduler.encoding import plan_value, snapshot_value
from app.scheduler.outlook import placed
from app.scheduler.planner import Plan
from app.scheduler.snapshot import Snapshot
from app.scheduler.verdicts import reason_counts, verdicts
from app.services import Services

log = structlog.get_logger()
BACKLOG = 32
WHOLE_EVERY = 100
"""Of so many decisions one is stored with its snapshot."""
REST_FACTOR = 4.0
"""After so much work so many times as long a rest."""
LARGEST = 12 << 20
"""Bytes of a packed snapshot that a document still takes."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What a cycle hands over."""

    term: int
    cycle: int
    snapshot: Snapshot
    plan: Plan
    pause: QueuePause | None


class Recorder:
    """The leader's log of decisions."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._mode = services.settings.scheduler.plan_record
        self._waiting: deque[Noted] = deque()
        self._left_out = 0
        self._term = self._cycle = self._recorded = 0
        self._writing: asyncio.Task[None] | None = None

    def note(self, term: int, snapshot: Snapshot, planned: Plan, pause: QueuePause | None) -> None:
        """Remember a cycle, if it decided anything. Takes no time and never fails."""
        self._cycle = self._cycle + 1 if term == self._term else 1
        self._term = term
        if self._mode == "off" or not decided(snapshot, planned):
            return
        if len(self._waiting) == BACKLOG:
            self._waiting.popleft()
            self._left_out += 1
        self._waiting.append(Noted(term, self._cycle, snapshot, planned, pause))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="scheduler.decisions")

    async def settled(self) -> None:
        """Until what was noted is written or given up."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        while self._waiting:
            began = time.monotonic()
            try:
                await self._write_one(self._waiting.popleft())
            except Unavailable as error:
                log.warning("decisions.store_away", store=error.store)
            except Exception:
                log.exception("decisions.failed")
            if self._left_out:
                log.warning("decisions.left_out", decisions=self._left_out)
                self._left_out = 0
            if self._waiting:
                await asyncio.sleep(REST_FACTOR * (time.monotonic() - began))

    async def _write_one(self, noted: Noted) -> None:
        decision = await asyncio.to_thread(recorded, noted)
        if decision.snapshot is not None:
            self._services.snapshots.keep(decision.id, decision.snapshot)
        whole = self._mode == "all" or self._recorded % WHOLE_EVERY == 0
        self._recorded += 1
        fits = decision.snapshot is not None and len(decision.snapshot) <= LARGEST
        await self._services.decisions.keep([decision if whole and fits else replace(decision, snapshot=None)])

    def forget(self) -> None:
        """This process leads no more: what is not written yet is given up."""
        self._term = 0
        self._waiting.clear()
        if self._writing is not None:
            self._writing.cancel()


def decided(snapshot: Snapshot, planned: Plan) -> bool:
    """Whether a cycle placed, evicted, or changed who is promised what."""
    before = {(p.job_id, p.node_id) for p in snapshot.promises}
    after = {(p.job_id, p.node_id) for p in planned.promises}
    return bool(planned.placements or planned.evictions or planned.revoked or after - before)


def recorded(noted: Noted) -> Decision:
    """The decision with its snapshot."""
    snapshot, planned = noted.snapshot, noted.plan
    value = snapshot_value(snapshot)
    after = placed(snapshot, planned)
    counts = reason_counts(after, verdicts(after, planned, noted.pause))
    return Decision(
        id=decision_id(noted.term, noted.cycle),
        at=moment(snapshot.now),
        cycle=noted.cycle,
        term=noted.term,
        now=snapshot.now,
        code_version=version("tensorfleet"),
        snapshot_hash=digest(value),
        plan=plan_value(planned),
        verdict_counts=dict(sorted(counts.items())),
        snapshot=packed(value),
    )
