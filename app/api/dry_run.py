"""What a submit would store, without storing it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.api.views import plan_view
from app.domain.specification import JobRequest, build_job
from app.domain.timestamps import optional_rfc3339 as moment
from app.operations import submit
from app.services import Services

DRY_RUN_ID = "job_dry_run"


async def dry_run(services: Services, request: JobRequest) -> dict[str, Any]:
    """The plan, the state it would begin in, and where it would stand. Raises Invalid as a submit does."""
    specification = await submit.plan(services, request)
    eligible = await submit._eligible(services, request)
    name = specification.base_name
    job = build_job(specification, job_id=DRY_RUN_ID, name=name, eligible=eligible, stamp=services.stamp())
    foretold = await submit._foretell(services, job)
    estimate = foretold.estimate
    times: dict[str, datetime | None] = {
        "estimated_start_time": estimate.start if estimate else None,
        "estimated_start_low": estimate.low if estimate else None,
        "estimated_start_high": estimate.high if estimate else None,
    }
    return {
        **plan_view(specification),
        "status": job.status,
        "queue_position": foretold.position,
        **{name: moment(at) for name, at in times.items()},
    }
