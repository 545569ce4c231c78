"""The queue and the resources it waits for."""

from datetime import timedelta

from fastapi import Response

from app.api.answers import json_response
from app.api.cluster_views import availability_view, node_view, queue_status_view, worker_view
from app.api.cursors import cursor as make_cursor
from app.api.cursors import place_of
from app.api.deps import DEFAULT_PAGE, Cursor, Limit, Ports
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.cluster import NodeList, QueueStatus, ResourceAvailability, WorkerActivities
from app.api.schemas.jobs import QueuePage
from app.api.views import job_summary
from app.domain.errors import Invalid
from app.domain.states import JobStatus
from app.operations.inspect import inspect

queue_router = api_router(f"{PREFIX}/queue", "queue")
nodes_router = api_router(PREFIX, "nodes")
platform_router = api_router("", "nodes")
WAITS_OVER = timedelta(hours=1)
COUNT_MAX_AGE = 5.0
"""Seconds for which the completed runs are not counted again, however many front ends ask."""


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
    place = "0" if cursor is None else place_of("queue", cursor)
    if not (place.isascii() and place.isdigit() and len(place) < 10):
        raise Invalid.one("cursor", "is not a cursor of this listing; leave it out")
    members = await services.queue.listing(int(place), limit)
    found = await services.jobs.get_many([m.job_id for m in members])
    jobs = [found[m.job_id] for m in members if m.job_id in found]
    views = await inspect(services, [job for job in jobs if job.status is JobStatus.QUEUED])
    following = make_cursor("queue", str(int(place) + limit)) if len(members) == limit else None
    return json_response({"jobs": [job_summary(view) for view in views], "next_cursor": following})


@nodes_router.get("/resources/availability", responses=problems(), response_model=ResourceAvailability)
async def get_resource_availability(services: Ports) -> Response:
    """What there is, what is allocated, and what a new job could have, in all and per node."""
    return json_response(availability_view(await services.nodes.all()))


@nodes_router.get("/nodes", responses=problems(), response_model=NodeList)
async def list_nodes(services: Ports) -> Response:
    """Every node that ever registered: state, labels, capacity, lease, and what it runs."""
    return json_response({"nodes": [node_view(node) for node in await services.nodes.all()]})


@platform_router.get("/worker-activity", responses=problems(), response_model=WorkerActivities)
async def get_worker_activity(services: Ports) -> Response:
    """The workers as the platform's front end reads them. A task is a run; the completed ones are counted again every
    few seconds. Of several runs at once the one placed first is the current.
    """
    lease = services.settings.lease.duration
    nodes = await services.nodes.all()
    completed = await services.recent.get("completed_by_node", services.runs.completed_by_node, COUNT_MAX_AGE)
    workers = [worker_view(node, lease, completed.get(node.id, 0)) for node in nodes]
    return json_response({"workers": workers, "total_workers": len(workers)})
