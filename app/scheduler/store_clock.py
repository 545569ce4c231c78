"""The store's time, by which leases are judged: this process's clock may be wrong by minutes.

The difference is measured every half minute, so that a cycle costs no further round trip.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from app.services import Services

DIFFERENCE_MAX_AGE = 30.0


async def store_now(services: Services) -> datetime:
    """The present by the store's clock, within the clocks' drift over half a minute."""

    async def measure() -> timedelta:
        return await services.leases.server_time() - services.clock.now()

    difference = await services.recent.get("store_clock", measure, DIFFERENCE_MAX_AGE)
    return services.clock.now() + difference
