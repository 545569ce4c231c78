"""Tells receivers how batches ended, as they fall due; the leader does it, some at a time. One that does not answer
keeps no other waiting."""

from __future__ import annotations

import asyncio

import structlog

from app.domain.batches import Batch
from app.metrics import Metrics
from app.operations.callbacks import deliver
from app.services import Services

log = structlog.get_logger()
EVERY = 1.0
AT_ONCE = 20


class Callbacks:
    """One look at what is due."""

    def __init__(self, services: Services, metrics: Metrics) -> None:
        self._services, self._metrics = services, metrics

    async def run_once(self) -> None:
        """Try all that are due. Raises Unavailable."""
        due = await self._services.batches.callbacks_due(self._services.clock.now(), AT_ONCE)
        await asyncio.gather(*(self._deliver(batch) for batch in due))

    async def _deliver(self, batch: Batch) -> None:
        result = await deliver(self._services, batch)
        if result is not None:
            self._metrics.webhook_deliveries.labels(result).inc()
