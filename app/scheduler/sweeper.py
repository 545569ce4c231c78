"""Drives all sweeps that are under way: the leader's, when trials have ended and every second besides.

It keeps the books of open sweeps, so that of each only what can still change is read; a new leader reads them whole.
A sweep that cannot be driven holds up no other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import structlog

from app.domain.batches import Batch, BatchKind
from app.domain.errors import Unavailable
from app.metrics import Metrics
from app.operations.sweeps.driving import drive
from app.operations.sweeps.searching import Search
from app.services import Services

log = structlog.get_logger()
EVERY = 1.0
PAGE = 200
AT_ONCE = 8
STALE = 10.0
"""Seconds without a look after which the books are read anew: another may have driven meanwhile."""


class Sweeper:
    """`run_once` looks at every sweep that has not ended, and once more at those that have since."""

    def __init__(self, services: Services, metrics: Metrics) -> None:
        self._services = services
        self._metrics = metrics
        self._searches: dict[str, Search] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._looked_at = float("-inf")

    async def run_once(self) -> None:
        """Raises Unavailable when the store is away."""
        if (now := time.monotonic()) - self._looked_at > STALE:
            self._searches.clear()
        self._looked_at = now
        sweeps = {batch.id: batch for batch in await self._open()}
        gone = [batch_id for batch_id in self._searches if batch_id not in sweeps]
        ended = await self._services.batches.get_many(gone) if gone else {}
        looks = (self._drive(batch) for batch in (*sweeps.values(), *ended.values()))
        faults = [found for found in await asyncio.gather(*looks, return_exceptions=True) if found is not None]
        if faults:
            raise faults[0]
        for batch_id in gone:
            self._searches.pop(batch_id, None)

    async def _open(self) -> Iterable[Batch]:
        found: list[Batch] = []
        page = await self._services.batches.open(PAGE)
        while page:
            found += (batch for batch in page if batch.kind is BatchKind.SWEEP)
            page = await self._services.batches.open(PAGE, page[-1].id) if len(page) == PAGE else []
        return found

    async def _drive(self, batch: Batch) -> None:
        async with self._room:
            try:
                search = self._searches.get(batch.id) or Search.of(batch)
                search.batch = batch
                self._searches[batch.id] = search
                await drive(self._services, search)
            except Unavailable:
                raise
            except Exception:
                log.exception("sweep.not_driven", sweep=batch.id)
                self._metrics.cycle_failures.labels("sweeps").inc()
                self._searches.pop(batch.id, None)
