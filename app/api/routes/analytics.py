"""What the service has measured of itself."""

from fastapi import Response

from app.api.analytics_views import start_estimates_view
from app.api.answers import json_response
from app.api.deps import Ports
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.analytics import Analytics

router = api_router(PREFIX, "analytics")


@router.get("/analytics", responses=problems(), response_model=Analytics)
async def get_analytics(services: Ports) -> Response:
    """How good the service's own start estimates are: the share of jobs that started inside the window that was first
    announced, by class and length of the wait, as of a few seconds ago.
    """
    calibration = await services.scheduler.calibration()
    return json_response({"start_estimates": start_estimates_view(calibration.tally)})
