"""What a submit would store, without storing it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.api.definition_views import origin_view
from app.api.sizing_views import sizing_view
from app.api.views import duration_view, plan_view, reason_view
from app.domain.specification import JobRequest
from app.domain.timestamps import optional_rfc3339 as moment
from app.operations.origins import origins_of
from app.operations.submit import preview
from app.services import Services


async def dry_run(services: Services, request: JobRequest) -> dict[str, Any]:
    """The plan, the state it would begin in, and where it would stand. Raises Invalid as a submit does."""
    foreseen = await preview(services, request)
    foretold = foreseen.submitted
    estimate = foretold.estimate
    times: dict[str, datetime | None] = {
        "estimated_start_time": estimate.start if estimate else None,
        "estimated_start_low": estimate.low if estimate else None,
        "estimated_start_high": estimate.high if estimate else None,
    }
    return {
        **plan_view(foreseen.specification),
        "tenant": foretold.job.tenant,
        "expected_duration": duration_view(foretold.job.duration),
        "sizing": sizing_view(foretold.job.sizing, foretold.job.duration),
        "wait_reasons": [reason_view(reason) for reason in foreseen.reasons],
        "status": foretold.job.status,
        "queue_position": foretold.position,
        **{name: moment(at) for name, at in times.items()},
        "origins": [origin_view(origin) for origin in (await origins_of(services, foretold.job))[2]],
    }
