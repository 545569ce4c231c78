"""What the service has measured: in a window, and as series."""

from typing import Annotated

from fastapi import Query, Response

from app.api.analytics_views import analytics_view, timeline_view
from app.api.answers import json_response
from app.api.deps import Ports
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.analytics import Analytics, AnalyticsTimeseries
from app.operations.analytics import overview, timeline

router = api_router(PREFIX, "analytics")
Window = Annotated[
    str,
    Query(max_length=20, description="How far back: a whole number and `m`, `h` or `d`, between `1h` and `30d`."),
]
TenantName = Annotated[
    str | None,
    Query(min_length=1, max_length=63, description="Runs of this tenant only; queue, nodes and estimates are of all."),
]
MetricNames = Annotated[
    str | None,
    Query(
        max_length=2_000,
        description="Names separated by commas, at most 20. Among them `queue_length`, `running_jobs`, `waiting_…` by "
        "reason, `oldest_wait`, `cpu_cores_capacity`, `…_allocated` and `…_used`, `completed_jobs`, `failed_jobs`, "
        "`wait_p90`, `run_p50`; an unknown one is answered with the nearest. Without it the most telling ones.",
    ),
]
Step = Annotated[
    str | None,
    Query(
        max_length=20,
        description="The distance of two points, as the window is written: whole minutes, for windows of more than two "
        "days whole hours, beyond a day whole days; at most 1,500 points. Without it one that gives up to 300.",
    ),
]


@router.get("/analytics", responses=problems(), response_model=Analytics)
async def get_analytics(services: Ports, window: Window = "24h", tenant: TenantName = None) -> Response:
    """Throughput, waits, use, success and failures in a window that ends now: in all, by class, template, algorithm and
    tenant; what jobs waited for; how well memory was allocated; and how good the service's own start estimates are.

    Read from rollups that the scheduler's leader makes every ten seconds, so the last seconds may be missing
    (`settled_to`). Percentiles are within 5 %. Seconds, and fractions of 1.
    """
    return json_response(analytics_view(await overview(services, window, tenant)))


@router.get("/analytics/timeseries", responses=problems(), response_model=AnalyticsTimeseries)
async def get_analytics_timeseries(
    services: Ports, metrics: MetricNames = None, window: Window = "24h", step: Step = None
) -> Response:
    """Series for plots: what the leader sees of queue and nodes once a minute, and what ended, in equal steps. A value
    is null where nobody looked.
    """
    return json_response(timeline_view(await timeline(services, metrics, window, step)))
