"""The beat of a node: its lease is renewed by a task that no job can block, and what bells missed is found.

A renewal names its epoch. When it is refused, somebody has fenced this node and its runs are no longer its own: they
are killed at once, and the node registers anew under the next epoch. Nothing that goes wrong ends the beat; the guard,
which will freeze the runs before the lease ends, takes its place beside this loop: it needs `Heart.lease` and the
process groups of `ProcessRunner.pids`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from app.domain.errors import Unavailable
from app.domain.ports import Lease
from app.lifecycle import Loop
from app.services import Services

log = structlog.get_logger()
FINISH_SECONDS = 5.0


class Heart(Loop):
    """Renews `lease` each beat, then calls `on_beat`; `on_fenced` gives the lease of the new registration."""

    grace = FINISH_SECONDS

    def __init__(
        self,
        services: Services,
        lease: Lease,
        on_beat: Callable[[], Awaitable[None]],
        on_fenced: Callable[[], Awaitable[Lease]],
    ) -> None:
        super().__init__("heart")
        self.lease = lease
        self._services = services
        self._on_beat = on_beat
        self._on_fenced = on_fenced

    async def run(self) -> None:
        settings = self._services.settings.lease
        await self._beat()
        while await self.pause(settings.beat.total_seconds()):
            await self._beat()

    async def _beat(self) -> None:
        started = asyncio.get_running_loop().time()
        try:
            await self._renew()
            await self._on_beat()
        except Unavailable as error:
            log.warning("heart.beat_missed", store=error.store)
        except Exception:
            log.exception("heart.beat_failed")
        else:
            log.debug("heart.beat", epoch=self.lease.epoch, seconds=asyncio.get_running_loop().time() - started)

    async def _renew(self) -> None:
        renewed = await self._services.leases.renew(self.lease, self._services.settings.lease.duration)
        if renewed is not None:
            self.lease = renewed
            return
        log.error("heart.fenced", lease=self.lease.name, epoch=self.lease.epoch)
        self.lease = await self._on_fenced()
