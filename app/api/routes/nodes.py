"""Nodes: what there is, what is left, what they run; drain one, and let it take work again."""

from fastapi import Response

from app.api.answers import as_json, json_response, send
from app.api.cluster_views import availability_view, node_view, worker_view
from app.api.deps import ANONYMOUS, Key, NodeId, Ports
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.cluster import Node, NodeList, ResourceAvailability, WorkerActivities
from app.api.schemas.controls import NodeDrain, NodeResume
from app.operations.drain import drain_node as drain
from app.operations.drain import find_node
from app.operations.drain import resume_node as take_back
from app.operations.once import Answer, answer_once

router = api_router(PREFIX, "nodes")
platform_router = api_router("", "nodes")
COUNT_MAX_AGE = 5.0
"""Seconds for which the completed runs are not counted again, however many front ends ask."""


@router.get("/resources/availability", responses=problems(), response_model=ResourceAvailability)
async def get_resource_availability(services: Ports) -> Response:
    """What there is, what is allocated, and what a new job could have, in all and per node."""
    return json_response(availability_view(await services.nodes.all()))


@router.get("/nodes", responses=problems(), response_model=NodeList)
async def list_nodes(services: Ports) -> Response:
    """Every node that ever registered: state, labels, capacity, lease, and what it runs."""
    return json_response({"nodes": [node_view(node, services.settings) for node in await services.nodes.all()]})


@router.get("/nodes/{node_id}", responses=problems(404), response_model=Node)
async def get_node(services: Ports, node_id: NodeId) -> Response:
    """A node: state, drain, labels, capacity, lease, and what it runs."""
    return json_response(node_view(await find_node(services, node_id), services.settings))


@router.post("/nodes/{node_id}/drain", responses=problems(404, body=True), response_model=Node)
async def drain_node(services: Ports, node_id: NodeId, key: Key, body: NodeDrain | None = None) -> Response:
    """Have the node take no more work. What runs on it may end within the grace; the rest leaves a checkpoint and waits
    again, without using an attempt. The wish outlives restarts of the worker. Draining twice is draining once.
    """
    reason = body.reason if body else None

    async def do() -> Answer:
        return Answer(200, as_json(node_view(await drain(services, node_id, ANONYMOUS, reason), services.settings)))

    return send(await answer_once(services, key, do))


@router.post("/nodes/{node_id}/resume", responses=problems(404, body=True), response_model=Node)
async def resume_node(services: Ports, node_id: NodeId, key: Key, body: NodeResume | None = None) -> Response:
    """Let a drained node take work again. One that was not drained stays as it is."""
    reason = body.reason if body else None

    async def do() -> Answer:
        return Answer(200, as_json(node_view(await take_back(services, node_id, ANONYMOUS, reason), services.settings)))

    return send(await answer_once(services, key, do))


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
