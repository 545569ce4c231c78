"""The queue: who waits, in which order; move a job in it, stop it, and let it go on."""

import asyncio
from datetime import timedelta
from typing import Annotated, Any

import orjson
from fastapi import Query, Response

from app.api.answers import as_json, json_response, send
from app.api.deps import ANONYMOUS, DEFAULT_PAGE, Cursor, Key, Limit, Ports
from app.api.problems import problems
from app.api.queue_cursors import bookmark_of, queue_cursor
from app.api.queue_views import limit_view, queue_status_view, reordered_view
from app.api.routing import PREFIX, api_router
from app.api.schemas.jobs import QueuePage
from app.api.schemas.queue import (
    NamedLimits,
    QueuePauseRequest,
    QueueReorder,
    QueueReordered,
    QueueResumeRequest,
    QueueStatus,
)
from app.api.views import job_summary
from app.domain.errors import NotFound
from app.domain.ids import is_object_id
from app.operations.board import recent_board
from app.operations.inspect import inspect
from app.operations.limits import limit_states
from app.operations.once import Answer, answer_once
from app.operations.queue_listing import list_waiting
from app.operations.queue_pause import pause_queue as stop
from app.operations.queue_pause import resume_queue as go_on
from app.operations.reorder import reorder
from app.services import Services

limits_router = api_router(PREFIX, "queue")
queue_router = api_router(f"{PREFIX}/queue", "queue")
WAITS_OVER = timedelta(hours=1)


@queue_router.get("/status", responses=problems(), response_model=QueueStatus)
async def get_queue_status(services: Ports) -> Response:
    """How many jobs are where, how long each class waits, and whether the queue is paused. All four classes always
    appear."""
    return json_response(await _status(services))


async def _status(services: Services) -> dict[str, Any]:
    now = services.clock.now()
    counts, waits, board, pause = await asyncio.gather(
        services.jobs.state_counts(),
        services.jobs.mean_waits(now - WAITS_OVER),
        recent_board(services),
        services.scheduler.pause(),
    )
    promises = len(board.promises) if board is not None else 0
    return queue_status_view(counts, waits, now, pause, promises)


@queue_router.get("", responses=problems(), response_model=QueuePage)
async def list_queue(services: Ports, limit: Limit = DEFAULT_PAGE, cursor: Cursor = None) -> Response:
    """Jobs in state QUEUED in the order in which they are considered, with position, reasons and estimate.

    The order is alive: a job that starts between two pages moves the others up. A page goes on behind the last job of
    the one before, wherever that is now, so that none is missed.
    """
    page = await list_waiting(services, bookmark_of(cursor), limit)
    views = await inspect(services, page.jobs)
    following = None if page.following is None else queue_cursor(page.following)
    return json_response({"jobs": [job_summary(view) for view in views], "next_cursor": following})


@queue_router.post("/reorder", responses=problems(404, 409, body=True), response_model=QueueReordered)
async def reorder_queue(
    body: QueueReorder,
    services: Ports,
    key: Key,
    dry_run: Annotated[bool, Query(description="Answer what would be done, and do nothing.")] = False,
) -> Response:
    """Move a waiting job to a position of its effective class. It stays there whatever its age and tenant: those behind
    stand one place further back, and the answer names them. To move it into another class, change its priority.
    """
    if not is_object_id(body.job_id):
        raise NotFound("job", body.job_id)

    async def do() -> Answer:
        done = await reorder(services, body.job_id, body.new_position, ANONYMOUS, body.reason, dry_run=dry_run)
        return Answer(200, as_json(reordered_view(done, dry_run=dry_run)))

    answer = await answer_once(services, None if dry_run else key, do)
    response = send(answer)
    response.headers["ETag"] = f'"{orjson.loads(answer.body)["seq"]}"'
    return response


@queue_router.post("/pause", responses=problems(body=True), response_model=QueueStatus)
async def pause_queue(services: Ports, key: Key, body: QueuePauseRequest | None = None) -> Response:
    """Stop the queue: nothing is placed until it is resumed, what runs goes on, and jobs are accepted. Placements that
    are on their way may still happen. Pausing twice is pausing once: the first reason stands.
    """
    reason = body.reason if body else None

    async def do() -> Answer:
        await stop(services, ANONYMOUS, reason)
        return Answer(200, as_json(await _status(services)))

    return send(await answer_once(services, key, do))


@queue_router.post("/resume", responses=problems(body=True), response_model=QueueStatus)
async def resume_queue(services: Ports, key: Key, body: QueueResumeRequest | None = None) -> Response:
    """Let the queue go on. One that is not paused stays as it is."""
    reason = body.reason if body else None

    async def do() -> Answer:
        await go_on(services, ANONYMOUS, reason)
        return Answer(200, as_json(await _status(services)))

    return send(await answer_once(services, key, do))


@limits_router.get("/limits", responses=problems(), response_model=NamedLimits)
async def list_limits(services: Ports) -> Response:
    """The named limits of the setting CONCURRENCY_LIMITS: who holds their places, and how many wait. A job takes a
    place when it is queued and keeps it until it has ended; without one it stays SUBMITTED.
    """
    return json_response({"limits": [limit_view(state) for state in await limit_states(services)]})
