"""Whether this process can do its work. It needs MongoDB and its own loops; without Redis, an index, it is degraded,
also where its scheduler leads and waits for Redis: submits are stored all the same."""

from __future__ import annotations

import asyncio
from typing import Any

from app.api.state import ApiState
from app.domain.errors import Unavailable

INDEX, STORE = "redis", "Redis"
"""The index's name among the checks, and as a store that is away."""
OK = "ok"
PATIENCE = 2.0


async def readiness(state: ApiState) -> dict[str, Any]:
    """`status`; `checks` by part: `ok`, or what is wrong; `detail`: figures that tell more, and decide nothing."""
    checks = await state.services.health.check()
    needed = {name: text for name, text in checks.items() if name != INDEX}
    needed["feed"] = _feed(state)
    checks["feed"] = needed["feed"] if needed["feed"] != OK else f"{OK}: {state.hub.mode}"
    scheduler = None if state.scheduler_status is None else state.scheduler_status()
    waits = False
    if scheduler is not None:
        waits = scheduler.lacks == STORE
        needed["scheduler"] = OK if scheduler.ok or waits else scheduler.detail
        checks["scheduler"] = f"{OK}: {scheduler.detail}" if scheduler.ok else scheduler.detail
    status = "ready"
    if any(text != OK for text in needed.values()):
        status = "unavailable"
    elif (index := checks.get(INDEX, OK)) != OK:
        status = "degraded"
        checks[INDEX] = f"{index}; submits are stored, and indexed when it is back"
    elif waits:
        status = "degraded"
    detail = {
        "feed_mode": state.hub.mode,
        "index_epoch": await _index_epoch(state) if checks.get(INDEX) == OK else None,
        "quarantined": state.services.quarantine.count,
        "scheduler": dict(scheduler.figures) or None if scheduler is not None else None,
    }
    return {"status": status, "checks": checks, "detail": detail}


def _feed(state: ApiState) -> str:
    if not state.hub.running:
        return "; ".join(state.hub.failures().values()) or "not running"
    return OK


async def _index_epoch(state: ApiState) -> str | None:
    """None while the index is not built, or does not answer."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await state.services.queue.epoch()
    except (Unavailable, TimeoutError):
        return None
