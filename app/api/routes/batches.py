"""Many jobs as one thing: submit, list, read, control and follow batches."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import orjson
from fastapi import Query, Request, Response

from app.api.answers import as_json, json_response, send
from app.api.batch_body import batch_request
from app.api.batch_stream import batch_events
from app.api.batch_views import batch_summary, batch_view, controlled_batch_view, submitted_batch_view
from app.api.cursors import cursor as make_cursor
from app.api.cursors import place_of
from app.api.deps import (
    ANONYMOUS,
    DEFAULT_PAGE,
    IDEMPOTENCY_TEXT,
    BatchId,
    Cursor,
    ExpectedSeq,
    Key,
    LastEventId,
    Limit,
    Ports,
    State,
    TimeoutSeconds,
    key_of,
)
from app.api.problems import STREAM, problems
from app.api.routes.events import EventTypes, check_types
from app.api.routing import PREFIX, api_router, read_body
from app.api.schemas.batches import (
    Batch,
    BatchCancel,
    BatchControlled,
    BatchList,
    BatchPause,
    BatchResume,
    BatchRetry,
    BatchSubmitted,
)
from app.api.sse import EventStream
from app.api.state import state_of
from app.api.sweep_body import is_sweep, sweep_request
from app.api.sweep_views import submitted_sweep_view
from app.api.tenants import tenant_of
from app.domain import batches as domain
from app.domain.batches import BatchKind, BatchQuery, BatchStatus, Counts
from app.domain.ids import is_object_id
from app.operations.batches import submitting as operation
from app.operations.batches.controlling import cancel_whole, load_batch, pause_whole, resume_whole, retry_whole
from app.operations.once import Answer, IdempotencyKey, answer_once
from app.operations.sweeps.submitting import SweepSubmitted, submit_sweep
from app.services import Services

submit_router = api_router(f"{PREFIX}/jobs", "batches")
router = api_router(f"{PREFIX}/batches", "batches")

BODIES = [{"$ref": f"#/components/schemas/{model}"} for model in ("BatchCreate", "SweepBatch")]
SUBMIT: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"oneOf": BODIES}}}},
    "parameters": [
        {
            "name": "idempotency-key",
            "in": "header",
            "required": False,
            "description": IDEMPOTENCY_TEXT,
            "schema": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    ],
}


def _rendered(submitted: operation.BatchSubmitted) -> bytes:
    return as_json(submitted_batch_view(submitted))


def _rendered_sweep(submitted: SweepSubmitted) -> bytes:
    return as_json(submitted_sweep_view(submitted))


@submit_router.post(
    "/batch",
    status_code=201,
    responses=problems(429, body=True),
    response_model=BatchSubmitted,
    openapi_extra=SUBMIT,
)
async def submit_batch(request: Request) -> Response:
    """Accept up to 10,000 jobs as one thing: all of them, or none. Once answered they are stored. What was sent under
    an Idempotency-Key is stored once, with its answer.

    One bad job refuses the whole batch; its place stands in the path, like `jobs[271].parameters.C`. The body may have
    MAX_BATCH_MB. With `sweep` in place of `jobs` it is a search over parameters: its jobs are trials that are asked one
    by one, and `job_ids` are those of the first.
    """
    services = state_of(request).services
    read = await read_body(request, batch=True)
    key = key_of(read, request.headers.get("idempotency-key"))
    if is_sweep(read.value):
        cap = request.app.state.max_body_bytes
        around, asked = sweep_request(read.value, len(read.content), cap, tenant_of(request))
        return send(await submit_sweep(services, around, asked, ANONYMOUS, _rendered_sweep, key))
    wanted = await batch_request(read.value, tenant_of(request))
    return send(await operation.submit_batch(services, wanted, ANONYMOUS, _rendered, key))


@router.get("", responses=problems(), response_model=BatchList)
async def list_batches(
    services: Ports,
    status: Annotated[list[BatchStatus] | None, Query(description="Any of these states; repeat it.")] = None,
    kind: BatchKind | None = None,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> Response:
    """Batches that match all filters given, newest first, a page at a time. Counts are those of this moment."""
    after = None if cursor is None else place_of("batches", cursor)
    known = after if after is None or is_object_id(after) else None
    page = await services.batches.find(BatchQuery(frozenset(status or ()), kind, known, limit))
    counts = await _counts(services, page.batches)
    views = [batch_summary(batch, counts[batch.id]) for batch in page.batches]
    following = page.next_after and make_cursor("batches", page.next_after)
    return json_response({"batches": views, "next_cursor": following})


@router.get("/{batch_id}", responses=problems(404), response_model=Batch)
async def get_batch(services: Ports, batch_id: BatchId) -> Response:
    """The whole batch, with counts of this moment. The ETag is its `seq`; counts change under the same ETag."""
    batch = await load_batch(services, batch_id)
    counts = await _counts(services, [batch])
    return _with_tag(Answer(200, as_json(batch_view(batch, counts[batch.id]))))


@router.delete("/{batch_id}", responses=problems(404, 409, 412), response_model=BatchControlled)
async def delete_batch(
    services: Ports,
    batch_id: BatchId,
    expected: ExpectedSeq,
    reason: Annotated[str | None, Query(max_length=500, description="Why; it stands in the history.")] = None,
) -> Response:
    """Cancel the batch, as POST …/cancel does. The batch, its jobs and their histories stay."""
    return await _controlled(services, None, lambda: cancel_whole(services, batch_id, ANONYMOUS, reason, expected))


@router.post("/{batch_id}/cancel", responses=problems(404, 409, 412, body=True), response_model=BatchControlled)
async def cancel_batch(
    services: Ports, batch_id: BatchId, key: Key, expected: ExpectedSeq, body: BatchCancel | None = None
) -> Response:
    """Cancel every job of the batch that has not ended. It is CANCELLED when none is open any more. Cancelling twice is
    cancelling once.
    """
    reason = body.reason if body else None
    return await _controlled(services, key, lambda: cancel_whole(services, batch_id, ANONYMOUS, reason, expected))


@router.post("/{batch_id}/pause", responses=problems(404, 409, 412, body=True), response_model=BatchControlled)
async def pause_batch(
    services: Ports, batch_id: BatchId, key: Key, expected: ExpectedSeq, body: BatchPause | None = None
) -> Response:
    """Hold every job of the batch that waits; nothing of it starts any more. What runs runs to its end, or leaves its
    node with `release`. Pausing twice is pausing once.
    """
    asked = body or BatchPause()
    return await _controlled(
        services,
        key,
        lambda: pause_whole(services, batch_id, ANONYMOUS, asked.reason, release=asked.release, expected_seq=expected),
    )


@router.post("/{batch_id}/resume", responses=problems(404, 409, 412, body=True), response_model=BatchControlled)
async def resume_batch(
    services: Ports, batch_id: BatchId, key: Key, expected: ExpectedSeq, body: BatchResume | None = None
) -> Response:
    """Resume every paused job of a paused batch, those that were paused one by one included."""
    reason = body.reason if body else None
    return await _controlled(services, key, lambda: resume_whole(services, batch_id, ANONYMOUS, reason, expected))


@router.post("/{batch_id}/retry", responses=problems(404, 409, 412, body=True), response_model=BatchControlled)
async def retry_batch(
    services: Ports, batch_id: BatchId, key: Key, expected: ExpectedSeq, body: BatchRetry | None = None
) -> Response:
    """Have another attempt at every job of the batch that ended FAILED or TIMEOUT, or that `fail_fast` cancelled; of a
    batch that was cancelled, at every job that was cancelled with it too. What completed stays as it is.
    """
    reason = body.reason if body else None
    return await _controlled(services, key, lambda: retry_whole(services, batch_id, ANONYMOUS, reason, expected))


@router.get("/{batch_id}/events", status_code=200, responses={**STREAM, **problems(404)}, response_class=EventStream)
async def stream_batch_events(
    state: State,
    batch_id: BatchId,
    last_event_id: LastEventId,
    types: EventTypes = None,
    timeout_seconds: TimeoutSeconds = None,
) -> Response:
    """The batch and its jobs, as they change, until the batch has ended. It opens with the present state of the batch;
    with `Last-Event-ID` it goes on after that event, as the general stream does. `batch.state` comes at each change of
    state, and every few seconds while counts change.
    """
    wanted = check_types(types)
    batch = await load_batch(state.services, batch_id)
    await state.hub.opened()
    return EventStream(batch_events(state, batch, last_event_id, wanted, timeout_seconds))


async def _controlled(
    services: Services, key: IdempotencyKey | None, control: Callable[[], Awaitable[domain.Batch]]
) -> Response:
    """The whole batch after a control with what happens to it, once for each key."""

    async def do() -> Answer:
        batch = await control()
        counts = await _counts(services, [batch])
        return Answer(200, as_json(controlled_batch_view(batch, counts[batch.id])))

    return _with_tag(await answer_once(services, key, do))


def _with_tag(answer: Answer) -> Response:
    """The ETag belongs to what is answered, the first answer of a key included."""
    response = send(answer)
    response.headers["ETag"] = f'"{orjson.loads(answer.body)["seq"]}"'
    return response


async def _counts(services: Services, batches: list[domain.Batch] | tuple[domain.Batch, ...]) -> dict[str, Counts]:
    """Of those that are open as they are now; an ended one keeps its own, whatever retention deletes."""
    still_open = [batch.id for batch in batches if not batch.ended]
    found = await services.batches.counts(still_open) if still_open else {}
    return {batch.id: found.get(batch.id, batch.counts) for batch in batches}
