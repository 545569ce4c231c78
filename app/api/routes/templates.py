"""Templates: list, create, read, revise, archive, explain, compare."""

from enum import StrEnum
from typing import Annotated

import orjson
from fastapi import Query, Response

from app.api.answers import as_json, json_response, send
from app.api.cursors import cursor as make_cursor
from app.api.cursors import place_of, whole_place_of
from app.api.definition_views import diff_view, explanation_view, template_view, version_view
from app.api.deps import DEFAULT_PAGE, MAX_PAGE, Cursor, ExpectedSeq, Key, Limit, Ports, TemplateId
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.definitions import (
    Template,
    TemplateCreate,
    TemplateDiff,
    TemplateList,
    TemplateVersionList,
)
from app.api.schemas.origins import TemplateExplanation
from app.api.validation import placed
from app.operations import templates as operations
from app.operations.once import Answer, answer_once

router = api_router(f"{PREFIX}/templates", "templates")
Version = Annotated[int | None, Query(ge=1, le=2**31, description="A version; the newest by default.")]


class IncludeTemplates(StrEnum):
    """What a listing of templates answers besides those that may be used."""

    ARCHIVED = "archived"


@router.get("", responses=problems(), response_model=TemplateList)
async def list_templates(
    services: Ports,
    include: Annotated[IncludeTemplates | None, Query(description="`archived`: those, too.")] = None,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
) -> Response:
    """The newest version of every template by id, built-in ones included. A page of large ones holds fewer than
    `limit`; more follow while there is a `next_cursor`."""
    after = "" if cursor is None else place_of("templates", cursor)
    shown, place = await operations.list_templates(
        services, limit, after, archived=include is not None, render=lambda found: as_json(template_view(found))
    )
    following = None if place is None else make_cursor("templates", place)
    return json_response({"templates": list(map(orjson.Fragment, shown)), "next_cursor": following})


@router.post("", status_code=201, responses=problems(409, body=True), response_model=Template)
async def create_template(body: TemplateCreate, services: Ports, key: Key) -> Response:
    """Define a template: whole, or inheriting from `base_template`, or inside `job_template`."""
    draft = body.to_draft()

    async def do() -> Answer:
        with placed(body.place):
            return Answer(201, as_json(template_view(await operations.create_template(services, draft))))

    return send(await answer_once(services, key, do))


@router.get("/{template_id}", responses=problems(404), response_model=Template)
async def get_template(services: Ports, template_id: TemplateId, version: Version = None) -> Response:
    """A template with all layers merged, at one version. The ETag is its version."""
    template = await operations.find_template(services, template_id, version)
    return json_response(template_view(template), headers={"ETag": f'"{template.version}"'})


@router.put("/{template_id}", responses=problems(404, 409, 412, body=True), response_model=Template)
async def revise_template(
    body: TemplateCreate, services: Ports, template_id: TemplateId, key: Key, expected: ExpectedSeq
) -> Response:
    """Make a new version, whole: what the body does not say is the base's, not the version's before.

    The base is the newest version of `base_template`, unless `base_version` names another; so sending the same body
    again takes a new version of the base in. Saying the same over the same base makes no version. An archived template
    comes back with its new version. Jobs keep the version that they were made from.
    """
    draft = body.to_draft(template_id)

    async def do() -> Answer:
        with placed(body.place):
            return Answer(200, as_json(template_view(await operations.revise_template(services, draft, expected))))

    answer = await answer_once(services, key, do)
    response = send(answer)
    response.headers["ETag"] = f'"{orjson.loads(answer.body)["version"]}"'
    return response


@router.delete("/{template_id}", responses=problems(404, 409, 412), response_model=Template)
async def archive_template(services: Ports, template_id: TemplateId, expected: ExpectedSeq) -> Response:
    """Archive the template: it is listed no more, and no new job or template may name it. Nothing is deleted: jobs that
    were made from it run and are retried as ever, and templates that inherit from it stay as they are. PUT brings it
    back.
    """
    template = await operations.archive_template(services, template_id, expected)
    return json_response(template_view(template), headers={"ETag": f'"{template.version}"'})


@router.get("/{template_id}/versions", responses=problems(404), response_model=TemplateVersionList)
async def list_template_versions(
    services: Ports, template_id: TemplateId, limit: Limit = DEFAULT_PAGE, cursor: Cursor = None
) -> Response:
    """Versions of a template, the newest first. They are never changed; an archived one says since when."""
    listing = f"versions:{template_id}"
    before = None if cursor is None else whole_place_of(listing, cursor)
    found = await services.templates.versions(template_id, limit + 1, before)
    if not found:
        await operations.find_template(services, template_id)
    following = make_cursor(listing, f"{found[limit - 1].version}") if len(found) > limit else None
    views = [version_view(template) for template in found[:limit]]
    return json_response({"id": template_id, "versions": views, "next_cursor": following})


@router.get("/{template_id}/explain", responses=problems(404), response_model=TemplateExplanation)
async def explain_template(services: Ports, template_id: TemplateId, version: Version = None) -> Response:
    """Which layer gave each value of the template, and what it stands over: its own, one that it inherits from, a
    built-in step that declares the parameter, or the service's default.
    """
    return json_response(explanation_view(*await operations.explain_template(services, template_id, version)))


@router.get("/{template_id}/diff", responses=problems(404), response_model=TemplateDiff)
async def diff_template(
    services: Ports,
    template_id: TemplateId,
    since: Annotated[
        int | None, Query(alias="from", ge=1, le=2**31, description="A version; the one before `to` by default.")
    ] = None,
    to: Version = None,
) -> Response:
    """What one version has otherwise than another, with all layers merged, so that changes of a base show."""
    return json_response(diff_view(*await operations.compare_versions(services, template_id, since, to)))
