"""Keeps the ledger of places in named limits in agreement with the jobs, which are the truth, and lets the next in.

A place is taken before the change that needs it, and given back after the change that frees it; so for a moment each
correct process leaves it astray. Only what is astray for a while is mended, and only while nobody has taken it anew.
"""

from __future__ import annotations

import time

import structlog

from app.domain.limits import Place, astray, missing
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
        """Compare, mend, and let in whoever has room. Nothing is asked where no limit is set and no place held."""
        services, sizes = self._services, self._services.settings.limits.concurrency
        held = await services.limits.held()
        if not sizes and not held:
            return
        truth = await services.jobs.place_holders()
        now = time.monotonic()
        lost = self._missing.confirmed(missing(held, truth, sizes), now, self._grace)
        leaked = self._astray.confirmed(astray(held, truth), now, self._grace)
        if lost:
            log.warning("limits.places_noted", places=len(lost))
            await services.limits.hold(lost, services.stamp().op)
        if leaked:
            log.warning("limits.places_released", places=len(leaked))
            await services.limits.release(leaked)
        await commit_all(services, await decide_admission(services, sorted(sizes)))
