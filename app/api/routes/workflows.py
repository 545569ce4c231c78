"""Workflows: defined, run, followed, controlled."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import orjson
from fastapi import Depends, Path, Query, Request, Response

from app.api.answers import as_json, json_response, send
from app.api.cursors import cursor as make_cursor
from app.api.cursors import place_of, whole_place_of
from app.api.deps import (
    ANONYMOUS,
    DEFAULT_PAGE,
    Cursor,
    ExpectedSeq,
    Key,
    LastEventId,
    Limit,
    Ports,
    State,
    TimeoutSeconds,
)
from app.api.problems import STREAM, problems
from app.api.routes.events import EventTypes, check_types
from app.api.routing import PREFIX, BodyRequest, api_router, large_body
from app.api.schemas.workflows import (
    Workflow,
    WorkflowControl,
    WorkflowCreate,
    WorkflowDefinitionCreate,
    WorkflowGraph,
    WorkflowItemList,
    WorkflowList,
    WorkflowRerun,
    WorkflowRun,
    WorkflowStart,
    WorkflowStepList,
    WorkflowValidated,
)
from app.api.sse import EventStream
from app.api.tenants import tenant_of
from app.api.workflow_stream import workflow_events
from app.api.workflow_views import graph_view, items_view, steps_view, validated_view, workflow_summary, workflow_view
from app.domain.errors import NotFound
from app.domain.ids import is_object_id
from app.domain.ports import WorkflowQuery
from app.domain.workflows.state import Workflow as DomainWorkflow
from app.domain.workflows.state import WorkflowStatus
from app.operations.once import Answer, IdempotencyKey, answer_once
from app.operations.workflows import controlling as controls
from app.operations.workflows.creating import Origin, create, run_stored
from app.operations.workflows.defining import judged
from app.operations.workflows.inspecting import inspect_graph, inspect_items, inspect_steps, inspect_workflow
from app.operations.workflows.loading import load
from app.services import Services

router = api_router(f"{PREFIX}/workflows", "workflows")


async def _workflow_id(workflow_id: Annotated[str, Path(description="Id of a workflow.")]) -> str:
    if not is_object_id(workflow_id):
        raise NotFound("workflow", workflow_id[:80])
    return workflow_id


WorkflowId = Annotated[str, Depends(_workflow_id)]
StepId = Annotated[str, Path(description="Id of a step.", max_length=200)]


async def _answer(
    services: Services,
    key: IdempotencyKey | None,
    do: Callable[[], Awaitable[DomainWorkflow]],
    status: int = 200,
) -> Response:
    """The whole workflow after it, once for each key. The ETag is its `seq`."""

    async def made() -> Answer:
        view = await inspect_workflow(services, await do())
        return Answer(status, as_json(workflow_view(view)))

    answer = await answer_once(services, key, made)
    response = send(answer)
    response.headers["ETag"] = f'"{orjson.loads(answer.body)["seq"]}"'
    return response


def _size(request: Request) -> int:
    return len(request.content) if isinstance(request, BodyRequest) else 0


@router.post("", status_code=201, responses=problems(429, body=True), response_model=Workflow)
@large_body
async def create_workflow(body: WorkflowCreate, request: Request, services: Ports, key: Key) -> Response:
    """Validate, store and start a workflow; `"start": false` only stores it. The definition is judged whole before
    anything is stored, each fault with its path. It is kept under its name as a new version, unless it equals the
    newest, with the versions of its templates.
    """
    origin = Origin.of(tenant_of(request), ANONYMOUS, key)
    definition, size = body.to_definition(), _size(request)
    return await _answer(
        services, key, lambda: create(services, definition, size, origin, start=body.start), status=201
    )


@router.post("/validate", responses=problems(body=True), response_model=WorkflowValidated)
@large_body
async def validate_workflow(body: WorkflowDefinitionCreate, request: Request, services: Ports, key: Key) -> Response:
    """Judge a definition as a creation does, and store nothing of it."""
    definition, size, tenant = body.to_definition(), _size(request), tenant_of(request)

    async def do() -> Answer:
        return Answer(200, as_json(validated_view(await judged(services, definition, size, tenant))))

    return send(await answer_once(services, key, do))


@router.post("/run", status_code=201, responses=problems(404, 429, body=True), response_model=Workflow)
async def run_workflow(body: WorkflowRun, request: Request, services: Ports, key: Key) -> Response:
    """Run a stored workflow by its name, at its newest version, with these inputs."""
    origin = Origin.of(tenant_of(request), ANONYMOUS, key)
    return await _answer(
        services, key, lambda: run_stored(services, body.workflow_name, body.inputs, origin), status=201
    )


@router.get("", responses=problems(), response_model=WorkflowList)
async def list_workflows(
    services: Ports,
    status: Annotated[list[WorkflowStatus] | None, Query(description="Any of these; repeat it for several.")] = None,
    name: Annotated[str | None, Query(max_length=63, description="Runs of this definition.")] = None,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> Response:
    """Runs, newest first, a page at a time, without their steps."""
    after = None if cursor is None else place_of("workflows", cursor)
    page = await services.workflows.find(WorkflowQuery(frozenset(status or ()), name, after, limit))
    following = page.next_after and make_cursor("workflows", page.next_after)
    return json_response({"workflows": [workflow_summary(w) for w in page.workflows], "next_cursor": following})


@router.get("/{workflow_id}", responses=problems(404), response_model=Workflow)
async def get_workflow(services: Ports, workflow_id: WorkflowId) -> Response:
    """The run: steps in the order of the definition, each with the state of its job, what it has put out, and why it
    was skipped. Of a very large one the first 500, items included; `next_cursor` goes on at `…/steps`. The ETag is its
    `seq`.
    """
    workflow = (await load(services, workflow_id)).workflow
    view = workflow_view(await inspect_workflow(services, workflow))
    return json_response(view, headers={"ETag": f'"{workflow.seq}"'})


@router.get("/{workflow_id}/steps", responses=problems(404), response_model=WorkflowStepList)
async def list_workflow_steps(
    services: Ports, workflow_id: WorkflowId, limit: Limit = DEFAULT_PAGE, cursor: Cursor = None
) -> Response:
    """Steps of a run, in the order of the definition, a page at a time. Items that are shown with a step count in
    `limit`, too.
    """
    start = 0 if cursor is None else whole_place_of(f"steps:{workflow_id}", cursor)
    return json_response(steps_view(await inspect_steps(services, await load(services, workflow_id), start, limit)))


@router.get("/{workflow_id}/steps/{step_id}/items", responses=problems(404), response_model=WorkflowItemList)
async def list_workflow_step_items(
    services: Ports, workflow_id: WorkflowId, step_id: StepId, limit: Limit = DEFAULT_PAGE, cursor: Cursor = None
) -> Response:
    """Items of a `for_each`, in order, a page at a time, each with what it has put out."""
    start = 0 if cursor is None else whole_place_of(f"items:{workflow_id}/{step_id}", cursor)
    loaded = await load(services, workflow_id)
    counts = loaded.workflow.step(step_id).items
    items = range(start, min(start + limit, counts.total if counts else 0))
    return json_response(items_view(await inspect_items(services, loaded, step_id, items), step_id, items))


@router.get("/{workflow_id}/graph", responses=problems(404), response_model=WorkflowGraph)
async def get_workflow_graph(services: Ports, workflow_id: WorkflowId) -> Response:
    """The run as a graph: nodes with their states, edges, and where to draw them."""
    workflow = (await load(services, workflow_id)).workflow
    return json_response(graph_view(await inspect_graph(services, workflow)))


@router.get("/{workflow_id}/events", status_code=200, responses={**STREAM, **problems(404)}, response_class=EventStream)
async def stream_workflow_events(
    state: State,
    workflow_id: WorkflowId,
    last_event_id: LastEventId,
    types: EventTypes = None,
    timeout_seconds: TimeoutSeconds = None,
) -> Response:
    """What happens in this workflow: `workflow.state`, `workflow.step`, and the events of its jobs. It opens with the
    present state, or goes on after `Last-Event-ID`; it ends with the workflow.
    """
    wanted = check_types(types)
    await load(state.services, workflow_id)
    await state.hub.opened()
    return EventStream(workflow_events(state, workflow_id, last_event_id, wanted, timeout_seconds))


@router.post("/{workflow_id}/start", responses=problems(404, 409, 412, body=True), response_model=Workflow)
async def start_workflow(
    services: Ports, workflow_id: WorkflowId, key: Key, expected: ExpectedSeq, body: WorkflowStart | None = None
) -> Response:
    """Start a workflow that was only stored, with its inputs."""
    inputs = body.inputs if body else {}
    return await _answer(services, key, lambda: controls.start(services, workflow_id, inputs, ANONYMOUS, expected))


@router.post("/{workflow_id}/cancel", responses=problems(404, 409, 412, body=True), response_model=Workflow)
async def cancel_workflow(
    services: Ports, workflow_id: WorkflowId, key: Key, expected: ExpectedSeq, body: WorkflowControl | None = None
) -> Response:
    """No step begins any more, jobs of steps are cancelled; it is CANCELLED when the last of them has ended."""
    reason = body.reason if body else None
    return await _answer(services, key, lambda: controls.cancel(services, workflow_id, reason, ANONYMOUS, expected))


@router.post("/{workflow_id}/pause", responses=problems(404, 409, 412, body=True), response_model=Workflow)
async def pause_workflow(
    services: Ports, workflow_id: WorkflowId, key: Key, expected: ExpectedSeq, body: WorkflowControl | None = None
) -> Response:
    """No step begins until it is resumed, and jobs of steps are paused."""
    reason = body.reason if body else None
    return await _answer(services, key, lambda: controls.pause(services, workflow_id, reason, ANONYMOUS, expected))


@router.post("/{workflow_id}/resume", responses=problems(404, 409, 412, body=True), response_model=Workflow)
async def resume_workflow(
    services: Ports, workflow_id: WorkflowId, key: Key, expected: ExpectedSeq, body: WorkflowControl | None = None
) -> Response:
    """Jobs that were paused with it go on; a job that a user paused by itself stays so. What became ready begins."""
    reason = body.reason if body else None
    return await _answer(services, key, lambda: controls.resume(services, workflow_id, reason, ANONYMOUS, expected))


@router.post("/{workflow_id}/retry", responses=problems(404, 409, 412, body=True), response_model=Workflow)
async def retry_workflow(
    services: Ports, workflow_id: WorkflowId, key: Key, expected: ExpectedSeq, body: WorkflowControl | None = None
) -> Response:
    """Do anew what ended without success, and what was skipped for it. Steps that completed are not run again."""
    reason = body.reason if body else None
    return await _answer(services, key, lambda: controls.retry(services, workflow_id, reason, ANONYMOUS, expected))


@router.post("/{workflow_id}/rerun", responses=problems(404, 409, 412, body=True), response_model=Workflow)
async def rerun_workflow(
    body: WorkflowRerun, services: Ports, workflow_id: WorkflowId, key: Key, expected: ExpectedSeq
) -> Response:
    """Run a step again, with changed parameters, and all that comes after it. Those are checked as a definition is."""

    async def do() -> DomainWorkflow:
        return await controls.rerun(
            services, workflow_id, body.from_step, body.parameters, body.reason, ANONYMOUS, expected
        )

    return await _answer(services, key, do)


@router.post(
    "/{workflow_id}/steps/{step_id}/approve", responses=problems(404, 409, 412, body=True), response_model=Workflow
)
async def approve_workflow_step(
    services: Ports,
    workflow_id: WorkflowId,
    step_id: StepId,
    key: Key,
    expected: ExpectedSeq,
    body: WorkflowControl | None = None,
) -> Response:
    """Let a step begin that awaits approval. Approving twice is approving once."""
    reason = body.reason if body else None
    return await _answer(
        services,
        key,
        lambda: controls.answer_approval(services, workflow_id, step_id, reason, ANONYMOUS, expected, approved=True),
    )


@router.post(
    "/{workflow_id}/steps/{step_id}/reject", responses=problems(404, 409, 412, body=True), response_model=Workflow
)
async def reject_workflow_step(
    services: Ports,
    workflow_id: WorkflowId,
    step_id: StepId,
    key: Key,
    expected: ExpectedSeq,
    body: WorkflowControl | None = None,
) -> Response:
    """End a step that awaits approval as REJECTED. Rejecting twice is rejecting once."""
    reason = body.reason if body else None
    return await _answer(
        services,
        key,
        lambda: controls.answer_approval(services, workflow_id, step_id, reason, ANONYMOUS, expected, approved=False),
    )
