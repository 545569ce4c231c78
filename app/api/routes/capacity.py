"""How many nodes there should be."""

from fastapi import Response

from app.api.answers import json_response
from app.api.capacity_views import plan_view
from app.api.deps import Ports
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.capacity import CapacityPlan
from app.domain.errors import Unavailable

router = api_router(PREFIX, "nodes")
NO_PLAN_YET = "The capacity plan of the scheduler's leader"


@router.get("/resources/plan", responses=problems(), response_model=CapacityPlan)
async def get_resource_plan(services: Ports) -> Response:
    """How many nodes of each type there should be, and why, as of the autoscaler's last look. With
    `CAPACITY_PROVIDER=none` it is advice that nobody carries out. 503 until the first look.
    """
    plan = await services.capacity.plan()
    if plan is None:
        raise Unavailable(NO_PLAN_YET)
    return json_response(plan_view(plan))
