"""The capacity plan as it is answered. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.domain.capacity.report import CapacityPlan, Count, Pending, Waits
from app.domain.priority import moment
from app.domain.timestamps import rfc3339

View = dict[str, Any]


def plan_view(plan: CapacityPlan) -> View:
    """As `CapacityPlan` of the schemas."""
    return {
        "now": _at(plan.now),
        "provider": plan.provider,
        "desired": _counts(plan.desired),
        "present": [
            {"type": c.type, "count": c.count, "booting": c.booting, "draining": c.draining} for c in plan.present
        ],
        "add": _counts(plan.add),
        "drain": [{"node": leaver.node, "empty_at": _at(leaver.empty_at)} for leaver in plan.drain],
        "reasons": [_reason(waits) for waits in plan.reasons],
        "limited_by": [
            {"limit": one.limit, "type": one.type, "allowed": one.allowed, "wanted": one.wanted}
            for one in plan.limited_by
        ],
        "cost_per_hour": {"present": plan.cost_present, "desired": plan.cost_desired},
        "unplannable": [_reason(waits) for waits in plan.unplannable],
        "pending": None if plan.pending is None else _pending(plan.pending),
        "trouble": plan.trouble,
    }


def _counts(counts: Iterable[Count]) -> list[View]:
    return [{"type": c.type, "count": c.count} for c in counts]


def _reason(waits: Waits) -> View:
    return {
        "class": waits.priority,
        "bucket": waits.bucket,
        "waiting": waits.waiting,
        "target": waits.target,
        "forecast": waits.forecast,
        "slots": waits.slots,
        "late": waits.late,
        "resources": waits.vector.units(),
        "node_selector": dict(waits.selector),
    }


def _pending(pending: Pending) -> View:
    return {"plan_id": pending.plan_id, "since": _at(pending.since), "tries": pending.tries}


def _at(micros: int) -> str:
    return rfc3339(moment(micros))
