"""The beat of a node: its lease is renewed by a task that no job can block, and what bells missed is found.

A renewal names its epoch. When it is answered, the guard is told how long the node may trust in it, counted from the
moment before it was asked for: the store's answer may have been late, its clock began no earlier. When it is refused,
somebody has fenced this node and its runs are no longer its own: they are killed at once, and the node registers anew
under the next epoch. Nothing that goes wrong ends the beat, but a node that belongs to another supervisor by now.

Looking for what bells missed goes on beside the renewals, so that a slow store delays none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from app.domain.errors import Unavailable
from app.domain.ports import Lease
from app.lifecycle import Loop
from app.services import Services
from app.startup import StartupTrouble
from workers.boottime import boot_seconds
from workers.guarding import Guarding

log = structlog.get_logger()
FINISH_SECONDS = 5.0
AGAIN_SECONDS = 1.0
"""After a renewal that was not answered the next is not far: runs may be frozen, and go on with it."""


class Heart(Loop):
    """Renews `lease` each beat and then calls `on_beat`; `on_fenced` gives the lease of the new registration."""

    grace = 2 * FINISH_SECONDS

    def __init__(
        self,
        services: Services,
        lease: Lease,
        guard: Guarding,
        on_beat: Callable[[], Awaitable[None]],
        on_fenced: Callable[[], Awaitable[Lease]],
    ) -> None:
        super().__init__("heart")
        self.lease = lease
        self._services = services
        self._guard = guard
        self._on_beat = on_beat
        self._on_fenced = on_fenced
        self._looking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        beat = self._services.settings.lease.beat.total_seconds()
        try:
            while await self.pause(beat if await self._beat() else min(beat, AGAIN_SECONDS)):
                pass
        finally:
            await self._end_looking()

    async def _beat(self) -> bool:
        try:
            await self._renew()
        except StartupTrouble:
            raise
        except Unavailable as error:
            log.warning("heart.beat_missed", store=error.store)
            return False
        except Exception:
            log.exception("heart.beat_failed")
            return False
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="heart.look")
        return True

    async def _renew(self) -> None:
        term, asked = self._services.settings.lease, boot_seconds()
        renewed = await self._services.leases.renew(self.lease, term.duration)
        if renewed is not None:
            self.lease = renewed
            await self._guard.protect(renewed.epoch, asked + term.trusted.total_seconds())
            return
        self._services.refusals.note("lease")
        log.error("heart.fenced", lease=self.lease.name, epoch=self.lease.epoch)
        self.lease = await self._on_fenced()

    async def _look(self) -> None:
        started = asyncio.get_running_loop().time()
        try:
            await self._on_beat()
        except Unavailable as error:
            log.warning("heart.look_missed", store=error.store)
        except Exception:
            log.exception("heart.look_failed")
        else:
            log.debug("heart.beat", epoch=self.lease.epoch, seconds=asyncio.get_running_loop().time() - started)

    async def _end_looking(self) -> None:
        """One under way may finish."""
        if self._looking is not None:
            await asyncio.wait([self._looking], timeout=FINISH_SECONDS)
            self._looking.cancel()
