"""The queue: who waits, in which order."""

from datetime import timedelta

from fastapi import Response

from app.api.answers import json_response
from app.api.cluster_views import queue_status_view
from app.api.cursors import cursor as make_cursor
from app.api.cursors import place_of
from app.api.deps import DEFAULT_PAGE, Cursor, Limit, Ports
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.cluster import QueueStatus
from app.api.schemas.jobs import QueuePage
from app.api.views import job_summary
from app.domain.errors import Invalid
from app.domain.records import OrderPoint
from app.domain.states import JobStatus
from app.operations.inspect import inspect

queue_router = api_router(f"{PREFIX}/queue", "queue")
WAITS_OVER = timedelta(hours=1)


@queue_router.get("/status", responses=problems(), response_model=QueueStatus)
async def get_queue_status(services: Ports) -> Response:
    """How many jobs are where, and how long each class waits. All four classes always appear."""
    now = services.clock.now()
    counts = await services.jobs.state_counts()
    return json_response(queue_status_view(counts, await services.jobs.mean_waits(now - WAITS_OVER), now))


@queue_router.get("", responses=problems(), response_model=QueuePage)
async def list_queue(services: Ports, limit: Limit = DEFAULT_PAGE, cursor: Cursor = None) -> Response:
    """Jobs in state QUEUED in the order in which they are considered, with position, reasons and estimate.

    The order is alive: a job that starts between two pages moves the others up.
    """
    waiting = await services.queue.listing(None if cursor is None else _point(place_of("queue", cursor)), limit)
    ids = [w.member.job_id for w in waiting]
    found = await services.jobs.get_many(ids)
    jobs = [found[job_id] for job_id in ids if job_id in found]
    views = await inspect(services, [job for job in jobs if job.status is JobStatus.QUEUED])
    following = make_cursor("queue", _text(waiting[-1].point)) if len(waiting) == limit else None
    return json_response({"jobs": [job_summary(view) for view in views], "next_cursor": following})


def _text(point: OrderPoint) -> str:
    return f"{point.rank} {point.band} {point.key!r} {point.job_id}"


def _point(text: str) -> OrderPoint:
    """Raises Invalid for what no page has answered."""
    try:
        rank, band, key, job_id = text.split(" ")
        return OrderPoint(int(rank), int(band), float(key), job_id)
    except ValueError:
        raise Invalid.one("cursor", "is not a cursor of this listing; leave it out") from None
