"""Why, and what if, as they are answered; and supposed changes as the domain has them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from app.api.schemas.base import given
from app.api.schemas.inquiries import ChangeKind, SupposedChange
from app.domain.errors import FieldError, Invalid
from app.domain.explain import Reason
from app.domain.explanation import Explanation
from app.domain.queueing import demand_of
from app.domain.remedies import remedies
from app.domain.resources import request_errors
from app.domain.timestamps import optional_rfc3339 as moment
from app.domain.timestamps import rfc3339
from app.domain.what_if import AddJob, AddNodes, Cancel, DrainNode, Outcome, SetPriority, SetResources, Supposed, WhatIf
from app.operations.submit import preview
from app.services import Services

View = dict[str, Any]
FIELDS = {
    ChangeKind.ADD_JOB: ("job",),
    ChangeKind.CANCEL: ("job_id",),
    ChangeKind.PRIORITY: ("job_id", "priority"),
    ChangeKind.RESOURCES: ("job_id", "resources"),
    ChangeKind.ADD_NODES: ("type",),
    ChangeKind.DRAIN_NODE: ("node_id",),
}
"""What each must have; add_nodes may have `count`."""


async def supposed(services: Services, changes: list[SupposedChange]) -> list[Supposed]:
    """The domain's values. Raises Invalid with every error of every change, by path."""
    errors: list[FieldError] = []
    made: list[Supposed] = []
    for n, change in enumerate(changes):
        path = f"changes[{n}]"
        if wrong := _field_errors(change, path):
            errors += wrong
            continue
        try:
            made.append(await _job_to_add(services, change) if change.job else _of(change))
        except Invalid as refused:
            errors += [FieldError(f"{path}.job.{e.path}", e.message, e.nearest) for e in refused.errors]
    if errors:
        raise Invalid(errors)
    return made


def _field_errors(change: SupposedChange, path: str) -> list[FieldError]:
    wanted = FIELDS[change.op]
    said = given(change).keys() - {"op"}
    errors = [FieldError(f"{path}.{name}", f"is required for {change.op}") for name in wanted if name not in said]
    allowed = {*wanted, *(("count",) if change.op is ChangeKind.ADD_NODES else ())}
    errors += [FieldError(f"{path}.{name}", f"has no meaning for {change.op}") for name in sorted(said - allowed)]
    if change.resources is not None:
        errors += request_errors(_units(change), f"{path}.resources")
    return errors


def _units(change: SupposedChange) -> dict[str, float]:
    said = given(change.resources) if change.resources else {}
    return {name: float(amount) for name, amount in said.items() if isinstance(amount, int | float)}


async def _job_to_add(services: Services, change: SupposedChange) -> Supposed:
    assert change.job is not None  # noqa: S101  asked for before
    foreseen = await preview(services, change.job.to_request())
    job = foreseen.submitted.job
    return AddJob(job.tenant, demand_of(job))


def _of(change: SupposedChange) -> Supposed:
    job_id = change.job_id or ""
    match change.op:
        case ChangeKind.PRIORITY if change.priority is not None:
            return SetPriority(job_id, change.priority)
        case ChangeKind.RESOURCES:
            return SetResources(job_id, _units(change))
        case ChangeKind.ADD_NODES:
            return AddNodes(change.count or 1, change.type or "")
        case ChangeKind.DRAIN_NODE:
            return DrainNode(change.node_id or "")
        case _:
            return Cancel(job_id)


def what_if_view(found: WhatIf) -> View:
    """The difference."""
    jobs = [{"job_id": d.job_id, "before": _outcome(d.before), "after": _outcome(d.after)} for d in found.differences]
    return {
        "at": rfc3339(found.at),
        "starts_now": list(found.starts_now),
        "jobs": jobs,
        "examined": found.examined,
        "waiting": found.waiting,
    }


def _outcome(outcome: Outcome | None) -> View | None:
    return None if outcome is None else {"starts_at": moment(outcome.starts_at), "position": outcome.position}


def explanation_view(found: Explanation, url: str) -> View:
    """Reasons with their remedies, and changes. `url`: of this API, for the commands."""
    return {
        "job_id": found.job.id,
        "status": found.job.status,
        "reasons": [_reason(reason, found.job.id, url) for reason in found.reasons],
        "changes": [
            {"change": c.change, "starts_at": moment(c.starts_at), "position": c.position} for c in found.changes
        ],
    }


def _reason(reason: Reason, job_id: str, url: str) -> View:
    helps = [asdict(remedy) for remedy in remedies(reason, job_id, url)]
    return {"code": reason.code, "summary": reason.summary, "facts": reason.facts, "remedies": helps}
