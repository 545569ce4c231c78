"""Work that the leader does every so often, and at the ring of a bell. A store that is away, or work that fails, costs
time and never ends the loop.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import structlog

from app.domain.errors import Unavailable
from app.domain.ports import Bells
from app.lifecycle import Loop
from app.scheduler.leader import Leader

log = structlog.get_logger()
STANDBY = 1.0
"""Seconds between two looks whether this process leads."""
LEAST_GAP = 0.008
"""Seconds between two turns while rings keep coming."""
SPREAD = 0.1
"""Share by which a pause is shorter or longer: loops that fell into step would hold everything else up together."""


async def first(stopping: asyncio.Event, *rings: Awaitable[bool]) -> None:
    """Until one of the bells rings or its time is over, or the loop is to stop."""
    waits = [asyncio.ensure_future(wait) for wait in (*rings, stopping.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


class Periodic(Loop):
    """Does one thing every so often while this process leads; a failure is logged and the next time comes. `rest` is
    called while it does not lead."""

    grace = 5.0

    def __init__(
        self,
        name: str,
        leader: Leader,
        every: float,
        do: Callable[[], Awaitable[None]],
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name)
        self._leader, self._every, self._do, self._rest = leader, every, do, rest
        self.succeeded_at: float | None = None

    async def run(self) -> None:
        while not self.stopping.is_set():
            if self._leader.leading:
                await self._once()
            else:
                self.succeeded_at = None
                self._rest()
            await self.pause(_spread(self._every if self._leader.leading else min(self._every, STANDBY)))
        self._rest()

    async def _once(self) -> None:
        try:
            await self._do()
            self.succeeded_at = time.monotonic()
        except Unavailable as error:
            log.warning("periodic.store_away", loop=self.name, store=error.store)
        except Exception:
            log.exception("periodic.failed", loop=self.name)


def _spread(seconds: float) -> float:
    return seconds * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311  chance that only spreads


class OnBell(Periodic):
    """As `Periodic`, and at each ring of a bell: a hint, which may be lost."""

    def __init__(
        self, name: str, leader: Leader, every: float, do: Callable[[], Awaitable[None]], bells: Bells, bell: str
    ) -> None:
        super().__init__(name, leader, every, do)
        self._bells, self._bell = bells, bell

    async def run(self) -> None:
        async with self._bells.listen(self._bell) as waker:
            while not self.stopping.is_set():
                if self._leader.leading:
                    await self._once()
                else:
                    self.succeeded_at = None
                await first(self.stopping, waker.wait(_spread(self._every)))
                await self.pause(LEAST_GAP)
