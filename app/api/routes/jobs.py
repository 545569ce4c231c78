"""Submit, list and read jobs.

`submit_job` reads its request by hand and declares it in `SUBMIT`: FastAPI's solving of dependencies would take as long
as everything else in it together, and submits are what the service is measured by.
"""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import Query, Request, Response

from app.api.answers import as_json, json_response, send
from app.api.cursors import cursor as make_cursor
from app.api.cursors import place_of
from app.api.definition_views import job_origins_view
from app.api.deps import (
    ANONYMOUS,
    DEFAULT_PAGE,
    IDEMPOTENCY_TEXT,
    Cursor,
    JobId,
    Limit,
    Ports,
    flag_of,
    key_of,
)
from app.api.dry_run import dry_run as preview
from app.api.facts import facts_of
from app.api.job_answers import job_response
from app.api.problems import problems
from app.api.routing import PREFIX, api_router, read_body
from app.api.schemas.base import Moment
from app.api.schemas.job_requests import JobCreate, JobSort
from app.api.schemas.jobs import Job, JobList, JobPlan, JobSubmitted
from app.api.schemas.origins import JobOrigins
from app.api.state import state_of
from app.api.tenants import tenant_of
from app.api.validation import validated
from app.api.views import job_summary, submitted_view
from app.domain.ids import is_object_id
from app.domain.priority import Priority
from app.domain.records import JobQuery
from app.domain.states import JobStatus
from app.operations.control import load
from app.operations.inspect import inspect
from app.operations.origins import origins_of
from app.operations.submit import Submitted, submit

router = api_router(f"{PREFIX}/jobs", "jobs")


SEARCH_TEXT = "Words, each of which must begin a word of the name, a tag, or a text among the parameters."
FACT_TEXT = "`name:value` of a parameter, such as `hyperparameters.C:10` or `C:10`; repeat it for several."
MOST_FACTS = 5


class Include(StrEnum):
    """What a listing answers besides its entries."""

    TOTAL = "total"


def _rendered(submitted: Submitted) -> bytes:
    return as_json(submitted_view(submitted))


SUBMIT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobCreate"}}},
    },
    "parameters": [
        {
            "name": "dry_run",
            "in": "query",
            "required": False,
            "description": "Answer what would be stored, with status 200, and store nothing.",
            "schema": {"type": "boolean", "default": False},
        },
        {
            "name": "idempotency-key",
            "in": "header",
            "required": False,
            "description": IDEMPOTENCY_TEXT,
            "schema": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    ],
}


@router.post(
    "",
    status_code=201,
    responses={200: {"model": JobPlan}, **problems(429, body=True)},
    response_model=JobSubmitted,
    openapi_extra=SUBMIT,
)
async def submit_job(request: Request) -> Response:
    """Accept a job: once answered it is stored, and nothing that crashes can lose it.

    The job is QUEUED, or SUBMITTED while it waits for its dependencies or its start time. Unknown templates, parameters
    and fields are refused with the nearest known name. Whose job it is says the header named by the setting
    TENANT_HEADER, where there is one; a tenant with as many jobs waiting as it may have is answered 429.
    """
    services = state_of(request).services
    read = await read_body(request)
    wanted = validated(JobCreate, read.value).to_request(tenant_of(request))
    if flag_of(request, "dry_run"):
        return json_response(await preview(services, wanted))
    key = key_of(read, request.headers.get("idempotency-key"))
    return send(await submit(services, wanted, ANONYMOUS, _rendered, key))


@router.get("", responses=problems(), response_model=JobList)
async def list_jobs(
    services: Ports,
    status: Annotated[list[JobStatus] | None, Query(description="Any of these states; repeat it for several.")] = None,
    template: Annotated[str | None, Query(max_length=63)] = None,
    algorithm: Annotated[str | None, Query(max_length=100)] = None,
    tag: Annotated[str | None, Query(max_length=200)] = None,
    priority: Priority | None = None,
    batch_id: Annotated[str | None, Query(max_length=64)] = None,
    workflow_id: Annotated[str | None, Query(max_length=64)] = None,
    q: Annotated[str | None, Query(max_length=200, description=SEARCH_TEXT)] = None,
    parameter: Annotated[list[str] | None, Query(max_length=MOST_FACTS, description=FACT_TEXT)] = None,
    submitted_after: Moment | None = None,
    submitted_before: Moment | None = None,
    sort: JobSort = JobSort.NEWEST_FIRST,
    include: Annotated[Include | None, Query(description="`total`: count all that match.")] = None,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> Response:
    """Jobs that match all filters given, newest first unless `sort` says otherwise, a page at a time."""
    after = None if cursor is None else place_of(f"jobs{sort}", cursor)
    query = JobQuery(
        status=frozenset(status or ()),
        template=template,
        algorithm=algorithm,
        tag=tag,
        priority=priority,
        batch_id=batch_id,
        workflow_id=workflow_id,
        text=q,
        facts=facts_of(parameter or ()),
        submitted_after=submitted_after,
        submitted_before=submitted_before,
        oldest_first=sort is JobSort.OLDEST_FIRST,
        after=after if after is None or is_object_id(after) else None,
        limit=limit,
    )
    page = await services.jobs.find(query)
    total = await services.jobs.count(query) if include is Include.TOTAL else None
    views = [job_summary(view) for view in await inspect(services, page.jobs)]
    following = page.next_after and make_cursor(f"jobs{sort}", page.next_after)
    return json_response({"jobs": views, "next_cursor": following, "total": total})


@router.get("/{job_id}", responses=problems(404), response_model=Job)
async def get_job(services: Ports, job_id: JobId) -> Response:
    """The whole job: state, history, attempts, progress, metrics, result, and all reasons why it waits.

    The ETag is its `seq`. It names the version of the job that a change is decided on (`If-Match`); progress, metrics
    and estimates change under the same ETag.
    """
    return await job_response(services, await load(services, job_id))


@router.get("/{job_id}/origins", responses=problems(404), response_model=JobOrigins)
async def get_job_origins(services: Ports, job_id: JobId) -> Response:
    """Where each value of the job comes from: its request, a manual retry, a layer of its template at the pinned
    version, a built-in step, a setting, or the service itself, which gives more memory after `out_of_memory`.
    """
    return json_response(job_origins_view(*await origins_of(services, await load(services, job_id))))
