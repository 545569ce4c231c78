"""Schedules: stored workflows that are run again and again."""

from typing import Annotated

from fastapi import Path, Request, Response

from app.api.answers import as_json, json_response, send
from app.api.cursors import cursor as make_cursor
from app.api.cursors import place_of
from app.api.deps import DEFAULT_PAGE, Cursor, Key, Limit, Ports
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.schedules import Schedule, ScheduleCreate, ScheduleList
from app.api.tenants import tenant_of
from app.api.workflow_views import schedule_view
from app.domain.workflows.schedules import Schedule as DomainSchedule
from app.operations.once import Answer, answer_once
from app.operations.workflows.scheduling import create_schedule as make_schedule
from app.operations.workflows.scheduling import delete_schedule as forget_schedule

router = api_router(f"{PREFIX}/schedules", "workflows")


@router.get("", responses=problems(), response_model=ScheduleList)
async def list_schedules(services: Ports, limit: Limit = DEFAULT_PAGE, cursor: Cursor = None) -> Response:
    """Schedules by name, a page at a time, each with its next and its last run."""
    after = "" if cursor is None else place_of("schedules", cursor)
    found = await services.schedules.page(limit + 1, after)
    following = make_cursor("schedules", found[limit - 1].name) if len(found) > limit else None
    return json_response({"schedules": [schedule_view(s) for s in found[:limit]], "next_cursor": following})


@router.post("", status_code=201, responses=problems(404, 409, body=True), response_model=Schedule)
async def create_schedule(body: ScheduleCreate, request: Request, services: Ports, key: Key) -> Response:
    """Run a stored workflow again and again, by a cron expression in a time zone. Each moment is run once."""
    asked = DomainSchedule(
        **body.model_dump(), tenant=tenant_of(request), created_at=services.clock.now(), next_at=None
    )

    async def do() -> Answer:
        return Answer(201, as_json(schedule_view(await make_schedule(services, asked))))

    return send(await answer_once(services, key, do))


@router.delete("/{name}", status_code=204, responses=problems(404))
async def delete_schedule(services: Ports, name: Annotated[str, Path(description="Name of a schedule.")]) -> Response:
    """Forget a schedule. Runs that it made stay."""
    await forget_schedule(services, name)
    return Response(status_code=204)
