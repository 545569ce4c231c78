"""The doorbell of a node: at each ring, and every few seconds, see what was dispatched and what users want of its runs.

A ring says only "look". With Redis away the loop goes on looking into MongoDB at its pause, and tries the doorbell
again each time; nothing that happens to arq ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from app.domain.errors import Unavailable
from app.domain.ports import node_bell
from app.lifecycle import Loop
from app.services import Services
from app.storage.dispatcher import ArqDispatcher, doorbell_worker, drain_doorbell
from workers.claims import Claims

log = structlog.get_logger()
LOOK_SECONDS = 5.0
BREATH_SECONDS = 0.01
"""Rings within this time are one look: under load each then finds more work."""
CONTROL_SECONDS = 0.2
"""Least time between two looks for controls while rings bring work."""
FINISH_SECONDS = 5.0

Look = Callable[[], Awaitable[None]]
Drain = Callable[[], Awaitable[list[tuple[str, int]]]]


class Doorbell(Loop):
    """Rings in, claims and stops out. `look` sees what users want; `drain` gives what waits at the node's door."""

    grace = FINISH_SECONDS

    def __init__(self, services: Services, node_id: str, claims: Claims, look: Look, drain: Drain) -> None:
        super().__init__("doorbell")
        self._services = services
        self._node_id = node_id
        self._claims = claims
        self._look = look
        self._drain = drain
        self._looked_at = float("-inf")
        self._owing = False
        """A look for controls was put off, and is to be made."""

    async def run(self) -> None:
        async with self._services.bells.listen(node_bell(self._node_id)) as bell:
            while not self.stopping.is_set():
                rang = await self._wait(bell.wait(CONTROL_SECONDS if self._owing else LOOK_SECONDS))
                if self.stopping.is_set():
                    return
                await self._answer(rang)
                await self.pause(BREATH_SECONDS)

    async def _wait(self, ring: Awaitable[bool]) -> bool:
        """True when it rang; False after the pause or when the loop is to stop."""
        waiting = asyncio.ensure_future(ring)
        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
            return waiting.done() and waiting.result()
        finally:
            waiting.cancel()
            stopping.cancel()

    async def _answer(self, rang: bool) -> None:
        try:
            found = await self._look_at_the_door()
            await self._claims.take(found)
            now = asyncio.get_running_loop().time()
            self._owing = bool(found) and now - self._looked_at < CONTROL_SECONDS
            if not self._owing:
                self._looked_at = now
                await self._look()
        except Unavailable as error:
            log.warning("doorbell.postponed", rang=rang, store=error.store)
        except Exception:
            log.exception("doorbell.look_failed", rang=rang)

    async def _look_at_the_door(self) -> Sequence[tuple[str, int]]:
        """What was dispatched. With Redis away: nothing, since the beat finds it in MongoDB."""
        try:
            return await self._drain()
        except Unavailable as error:
            log.warning("doorbell.away", store=error.store)
            return ()


def arq_drain(services: Services, node_id: str) -> Drain:
    """The door as arq keeps it."""
    dispatcher = services.dispatcher
    if not isinstance(dispatcher, ArqDispatcher):
        raise TypeError(f"a node's door is a queue of arq, not of {type(dispatcher).__name__}")
    inbox: list[tuple[str, int]] = []

    async def take_in(assignments: list[tuple[str, int]]) -> None:
        inbox.extend(assignments)

    worker = doorbell_worker(dispatcher.pool, node_id, take_in)

    async def drain() -> list[tuple[str, int]]:
        await drain_doorbell(worker)
        found = inbox.copy()
        inbox.clear()
        return found

    return drain
