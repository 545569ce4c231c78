"""Whether this process can do its work. It needs MongoDB and its own loops; without Redis, an index, it is degraded."""

from __future__ import annotations

from typing import Any

from app.api.state import ApiState

INDEX = "redis"
OK = "ok"


async def readiness(state: ApiState) -> dict[str, Any]:
    """`status` and `checks` by part: `ok`, or what is wrong."""
    checks = await state.services.health.check()
    needed = {name: text for name, text in checks.items() if name != INDEX}
    needed["feed"] = _feed(state)
    checks["feed"] = needed["feed"] if needed["feed"] != OK else f"{OK}: {state.hub.mode}"
    if state.scheduler_status is not None:
        scheduler = state.scheduler_status()
        needed["scheduler"] = OK if scheduler.ok else scheduler.detail
        checks["scheduler"] = f"{OK}: {scheduler.detail}" if scheduler.ok else scheduler.detail
    if any(text != OK for text in needed.values()):
        return {"status": "unavailable", "checks": checks}
    index = checks.get(INDEX, OK)
    if index == OK:
        return {"status": "ready", "checks": checks}
    checks[INDEX] = f"{index}; submits are stored, and indexed when it is back"
    return {"status": "degraded", "checks": checks}


def _feed(state: ApiState) -> str:
    if not state.hub.running:
        return "; ".join(state.hub.failures().values()) or "not running"
    return OK
