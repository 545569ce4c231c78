"""Leases in memory, by a clock that all holders share."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from app.clock import Clock
from app.domain.ports import Lease, StorePrimary
from app.storage.leases import FENCED


class MemoryLeaseStore:
    """`LeaseStore` over a dictionary."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leases: dict[str, Lease] = {}
        self.elections = 1
        """How often a primary was elected; a test counts on to have another."""

    async def acquire(self, name: str, holder: str, term: timedelta) -> Lease | None:
        known = self._leases.get(name)
        if known is not None and known.holder != holder and known.until > self._clock.now():
            return None
        lease = Lease(name, holder, known.epoch + 1 if known else 1, self._clock.now() + term)
        self._leases[name] = lease
        return lease

    async def renew(self, lease: Lease, term: timedelta) -> Lease | None:
        if not self._is_current(lease):
            return None
        self._leases[lease.name] = replace(lease, until=self._clock.now() + term)
        return self._leases[lease.name]

    async def give_back(self, lease: Lease) -> None:
        if self._is_current(lease):
            self._leases[lease.name] = replace(lease, until=self._clock.now())

    async def lapsed(self) -> list[Lease]:
        now = self._clock.now()
        return [lease for _, lease in sorted(self._leases.items()) if lease.until < now]

    async def fence(self, name: str, epoch: int) -> bool:
        known = self._leases.get(name)
        if known is None or known.epoch > epoch:
            return True
        if known.epoch != epoch or known.until >= self._clock.now():
            return False
        self._leases[name] = replace(known, epoch=epoch + 1, holder=FENCED)
        return True

    async def primary(self) -> StorePrimary:
        return StorePrimary("memory", str(self.elections))

    async def server_time(self) -> datetime:
        return self._clock.now()

    def until(self, name: str) -> datetime | None:
        """When this lease ends; None when nobody ever held it."""
        known = self._leases.get(name)
        return known.until if known else None

    def _is_current(self, lease: Lease) -> bool:
        known = self._leases.get(lease.name)
        return known is not None and (known.holder, known.epoch) == (lease.holder, lease.epoch)
