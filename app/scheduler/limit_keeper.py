"""Keeps the ledger of places in limits in agreement with the jobs, which are the truth, and lets the next in.

A place is taken before the change that needs it, and given back after the change that frees it; so for a moment each
correct process leaves it astray. Only what is astray for a while is mended, and only while nobody has taken it anew.
"""

from __future__ import annotations

import time

import structlog

from app.domain.limits import Place, astray, batch_of, missing
from app.operations.change import commit_all
from app.operations.limits import decide_admission
from app.scheduler.repairs import Suspects
from app.services import Services

log = structlog.get_logger()
GRACE = 20.0
"""Seconds that a commit may take, its store's patience included."""


class LimitKeeper:
    """Keeps between looks only what is suspected."""

    def __init__(self, services: Services, grace: float = GRACE) -> None:
        self._services, self._grace = services, grace
        self._astray: Suspects[Place] = Suspects()
        self._missing: Suspects[Place] = Suspects()

    async def keep(self) -> None:
        """Compare, mend, and let in whoever has room in a named limit; batches have a keeper of their own."""
        services, sizes = self._services, self._services.settings.limits.concurrency
        held, truth = await services.limits.held(), await services.jobs.place_holders()
        known = {*sizes, *(name for names in truth.values() for name in names if batch_of(name))}
        now = time.monotonic()
        lost = self._missing.confirmed(missing(held, truth, known), now, self._grace)
        leaked = self._astray.confirmed(astray(held, truth), now, self._grace)
        if lost:
            log.warning("limits.places_noted", places=len(lost))
            await services.limits.hold(lost, services.stamp().op)
        if leaked:
            log.warning("limits.places_released", places=len(leaked))
            await services.limits.release(leaked)
        await services.limits.forget_empty()
        await commit_all(services, await decide_admission(services, sorted(sizes)))
