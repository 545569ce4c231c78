"""Stored definitions of workflows: listed, read, with their versions."""

from typing import Annotated

from fastapi import Path, Query, Response

from app.api.answers import json_response
from app.api.cursors import cursor as make_cursor
from app.api.cursors import place_of, whole_place_of
from app.api.deps import DEFAULT_PAGE, Cursor, Limit, Ports
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.workflow_definitions import (
    WorkflowDefinition,
    WorkflowDefinitionList,
    WorkflowDefinitionVersionList,
)
from app.api.workflow_definition_views import definition_row_view, definition_view
from app.operations.workflows.stored import shown, stored_definition

router = api_router(f"{PREFIX}/workflows/definitions", "workflows")
WorkflowName = Annotated[str, Path(description="Name of a stored workflow.", max_length=200)]
Version = Annotated[int | None, Query(ge=1, le=2**31, description="A version; the newest by default.")]


@router.get("", responses=problems(), response_model=WorkflowDefinitionList)
async def list_workflow_definitions(services: Ports, limit: Limit = DEFAULT_PAGE, cursor: Cursor = None) -> Response:
    """The newest version of every stored workflow, by name: what `POST /workflows/run` and schedules run."""
    after = "" if cursor is None else place_of("definitions", cursor)
    found = await services.definitions.page(limit + 1, after)
    following = make_cursor("definitions", found[limit - 1].name) if len(found) > limit else None
    return json_response({"definitions": [definition_row_view(d) for d in found[:limit]], "next_cursor": following})


@router.get("/{workflow_name}", responses=problems(404), response_model=WorkflowDefinition)
async def get_workflow_definition(services: Ports, workflow_name: WorkflowName, version: Version = None) -> Response:
    """A stored workflow whole, at one version, in the form that `POST /workflows` takes."""
    pinned = await stored_definition(services, workflow_name, version)
    return json_response(definition_view(pinned, await shown(services, pinned)))


@router.get("/{workflow_name}/versions", responses=problems(404), response_model=WorkflowDefinitionVersionList)
async def list_workflow_definition_versions(
    services: Ports, workflow_name: WorkflowName, limit: Limit = DEFAULT_PAGE, cursor: Cursor = None
) -> Response:
    """Versions of a stored workflow, the newest first. They are never changed; a run tells which it is pinned to."""
    listing = f"definitions:{workflow_name}"
    before = None if cursor is None else whole_place_of(listing, cursor)
    found = await services.definitions.versions(workflow_name, limit + 1, before)
    if not found:
        await stored_definition(services, workflow_name)
    following = make_cursor(listing, f"{found[limit - 1].version}") if len(found) > limit else None
    views = [definition_row_view(d) for d in found[:limit]]
    return json_response({"workflow_name": workflow_name, "versions": views, "next_cursor": following})
