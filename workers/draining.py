"""A node that somebody drains: it takes no more work, short runs end by themselves, the others leave with a checkpoint;
where the wish is patient, all of them end by themselves.

The wish stands on the node document and is looked at with each bell and beat, so it holds over restarts; taken back,
the node works again. A stopping worker leaves in the same way (`wait_for_ends`).
"""

from __future__ import annotations

import asyncio

import structlog

from app.domain.nodes import Drain
from app.domain.ports import ROOM_BELL
from app.lifecycle import Loop
from app.services import Services
from workers.claims import Claims
from workers.live import LiveRuns
from workers.run import RunEnding
from workers.settling import give_back_scheduled

log = structlog.get_logger()
WHY = "drained"


class Draining(Loop):
    """Empties the node while somebody wants that."""

    def __init__(self, services: Services, node_id: str, runs: LiveRuns, claims: Claims) -> None:
        super().__init__("draining")
        self._services = services
        self._node_id = node_id
        self._runs = runs
        self._claims = claims
        self._begin = asyncio.Event()
        self._taken_back = asyncio.Event()
        self._taken_back.set()
        self._hurried = False
        """Whether somebody wants it who is not patient: the runs have a grace."""
        self._in_grace = True
        """Whether the runs still have it. One whose claim was answered late has none."""

    async def look(self) -> None:
        """Agree with what stands on the node. Raises Unavailable."""
        node = await self._services.nodes.get(self._node_id)
        drain = node.drain if node is not None else None
        draining = not self._taken_back.is_set()
        if drain is not None and not draining:
            self._claims.close(WHY)
            self._taken_back.clear()
            log.info("node.draining", node_id=self._node_id, runs=len(self._runs), patient=drain.patient)
        if drain is not None:
            self._hurry(drain)
            await give_back_scheduled(self._services, self._node_id)
            if not self._in_grace:
                self._send_away()
        elif draining:
            self._taken_back.set()
            self._hurried, self._in_grace = False, True
            self._claims.open(WHY)
            log.info("node.in_service", node_id=self._node_id)
            await self._services.bells.ring(ROOM_BELL)

    def _hurry(self, drain: Drain) -> None:
        """The grace begins with the first who is not patient."""
        if not drain.patient and not self._hurried:
            self._hurried = True
            self._begin.set()

    async def run(self) -> None:
        while await self.pause(3600.0, self._begin):
            if self._hurried:
                await self._empty()

    async def _empty(self) -> None:
        grace = self._services.settings.node.drain_grace.total_seconds()
        await wait_for_ends(self._runs, grace, self._taken_back)
        if not self._taken_back.is_set() and not self.stopping.is_set():
            self._in_grace = False
            self._send_away()

    def _send_away(self) -> None:
        self._runs.stop_all(RunEnding.DRAINED, "the node is drained")


async def wait_for_ends(runs: LiveRuns, seconds: float, hurry: asyncio.Event) -> None:
    """Until no run lives, at most so long, and no longer than until `hurry` is set."""
    if not runs or hurry.is_set():
        return
    log.info("worker.waiting", runs=len(runs), seconds=seconds)
    waits = [asyncio.ensure_future(runs.all_ended(seconds)), asyncio.ensure_future(hurry.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
