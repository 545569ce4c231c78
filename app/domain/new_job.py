"""From a specification to the job as it is inserted. Pure: its id, the time and its whole name are arguments."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from app.domain.asked import asked_paths
from app.domain.job import Asked, Job
from app.domain.priority import order_key
from app.domain.specification import Specification
from app.domain.states import JobStatus
from app.domain.transitions import Stamp, first_entry

_AS_ASKED = (
    *("tenant", "priority", "dependencies", "dependency_type", "tags", "metadata", "node_selector", "prefer"),
    *("preemptible", "start_after", "queue_deadline"),
)
"""What a job takes over from its request as it is."""
_AS_SPECIFIED = ("executor", "steps", "resources", "retry_policy", "timeout", "expected", "sizing", "limits")
"""What it takes over from its specification."""
_GIVEN = ("name", "timeout", "executor", "resources", "retry_policy", "limits")
"""What a request may give that a template may give, too."""
_as_asked, _as_specified, _given = attrgetter(*_AS_ASKED), attrgetter(*_AS_SPECIFIED), attrgetter(*_GIVEN)


def build_job(
    specification: Specification,
    *,
    job_id: str,
    name: str,
    eligible: bool,
    stamp: Stamp,
    tie: float = 0,
    **more: Any,
) -> Job:
    """The job as it is inserted: QUEUED when eligible, else SUBMITTED. `more`: attributes that no request has, such as
    whose it is.

    Its secrets are not in it: whoever inserts it stores `specification.secret_values` first, under its `sealed`.
    """
    request = specification.request
    status = JobStatus.QUEUED if eligible else JobStatus.SUBMITTED
    asked: dict[str, Any] = dict(zip(_AS_ASKED, _as_asked(request), strict=True))
    specified: dict[str, Any] = dict(zip(_AS_SPECIFIED, _as_specified(specification), strict=True))
    return Job(
        id=job_id,
        name=name,
        status=status,
        seq=1,
        template=specification.template.id,
        template_version=specification.template.version,
        parameters=specification.shown_parameters,
        effective_priority=request.priority,
        order_key=order_key(stamp.at, tie),
        submitted_at=stamp.at,
        history=(first_entry(status, stamp),),
        resume=specification.template.resume,
        secrets=specification.template.schema.secrets,
        sealed=job_id if specification.secret_values else None,
        asked=(Asked(1, _asked(specification)),),
        queued_at=stamp.at if eligible else None,
        **asked,
        **specified,
        **more,
    )


def _asked(specification: Specification) -> tuple[str, ...]:
    """What the request gives of all that a template may give, too."""
    said: dict[str, Any] = dict(zip(_GIVEN, _given(specification.request), strict=True))
    return asked_paths({**said, "parameters": specification.asked})
