"""Leadership: one scheduler plans at a time, for efficiency only; safety comes from the guards in the store.

The leader renews its lease at a third of its term. It believes in it only until `request + term` on its own monotonic
clock, so a process that was stopped for a while does not think that it still leads. Standbys try as often.
"""

from __future__ import annotations

import time
from datetime import timedelta

import structlog

from app.domain.errors import Unavailable
from app.domain.ports import Lease
from app.lifecycle import Loop
from app.metrics import Metrics
from app.services import Services

log = structlog.get_logger()
LEASE_NAME = "scheduler"
TERM = timedelta(seconds=6)


class Leader(Loop):
    """Holds the lease while it can. `holder` names this process."""

    def __init__(self, services: Services, metrics: Metrics, holder: str, term: timedelta = TERM) -> None:
        super().__init__("scheduler.leader")
        self._services = services
        self._metrics = metrics
        self._holder = holder
        self._term = term
        self._lease: Lease | None = None
        self._believed_until = 0.0

    @property
    def leading(self) -> bool:
        return self._lease is not None and time.monotonic() < self._believed_until

    @property
    def term_number(self) -> int | None:
        """The epoch of the lease that is held: grows with each new leader."""
        return self._lease.epoch if self._lease is not None and self.leading else None

    async def run(self) -> None:
        while await self.pause(self._term.total_seconds() / 3):
            await self.attempt()

    async def attempt(self) -> None:
        """Renew the lease, or try to take it."""
        asked = time.monotonic()
        before = self._lease
        try:
            self._lease = await self._renewed_or_taken(before)
        except Unavailable as error:
            log.warning("leader.store_away", store=error.store)
            return
        except Exception:
            log.exception("leader.attempt_failed")
            return
        self._believed_until = asked + self._term.total_seconds()
        self._metrics.leader.set(int(self._lease is not None))
        if self._lease is not None and (before is None or before.epoch != self._lease.epoch):
            log.info("leader.elected", holder=self._holder, term=self._lease.epoch)
        elif self._lease is None and before is not None:
            log.warning("leader.deposed", holder=self._holder, term=before.epoch)

    async def _renewed_or_taken(self, held: Lease | None) -> Lease | None:
        leases = self._services.leases
        renewed = await leases.renew(held, self._term) if held is not None else None
        return renewed or await leases.acquire(LEASE_NAME, self._holder, self._term)

    async def _open(self) -> None:
        await self.attempt()
        await super()._open()

    async def _close(self) -> None:
        await super()._close()
        lease, self._lease = self._lease, None
        self._metrics.leader.set(0)
        if lease is not None:
            try:
                await self._services.leases.give_back(lease)
            except Unavailable as error:
                log.warning("leader.lease_not_given_back", store=error.store)
