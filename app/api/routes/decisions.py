"""What the scheduler decided, and from what."""

from typing import Annotated, Any

from fastapi import Path, Response

from app.api.answers import json_response
from app.api.deps import DEFAULT_PAGE, Limit, Ports
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.decisions import DecisionList, DecisionRecord
from app.domain.canonical import unpacked
from app.domain.decisions import Decision
from app.domain.errors import NotFound
from app.domain.ids import is_object_id
from app.domain.timestamps import rfc3339

router = api_router(f"{PREFIX}/decisions", "queue")


@router.get("", responses=problems(), response_model=DecisionList)
async def list_decisions(services: Ports, limit: Limit = DEFAULT_PAGE) -> Response:
    """Cycles that placed jobs, or changed a promise, the newest first; kept for seven days."""
    return json_response({"decisions": [decision_view(d) for d in await services.decisions.newest(limit)]})


@router.get("/{decision_id}", responses=problems(404), response_model=DecisionRecord)
async def get_decision(services: Ports, decision_id: Annotated[str, Path(description="Id of a decision.")]) -> Response:
    """A decision, with the snapshot it was made from where that was kept: always on PLAN_RECORD=all, else of every
    hundredth, and of the last two hundred by the process that made them. Save it as a file for `tensorfleet replay`.
    """
    found = await services.decisions.get(decision_id) if is_object_id(decision_id) else None
    if found is None:
        raise NotFound("decision", decision_id[:80])
    snapshot = found.snapshot or services.snapshots.get(found.id)
    return json_response({**decision_view(found), "snapshot": None if snapshot is None else unpacked(snapshot)})


def decision_view(decision: Decision) -> dict[str, Any]:
    """Without the snapshot."""
    return {
        "decision_id": decision.id,
        "at": rfc3339(decision.at),
        "cycle": decision.cycle,
        "term": decision.term,
        "now": decision.now,
        "code_version": decision.code_version,
        "snapshot_hash": decision.snapshot_hash,
        **decision.plan,
        "verdict_counts": dict(decision.verdict_counts),
    }
