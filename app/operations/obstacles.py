"""What would keep a job waiting that is not submitted yet: told to whoever asks before submitting."""

from __future__ import annotations

from app.domain import explain
from app.domain.explain import Reason
from app.domain.job import Job
from app.domain.nodes import NodeState, matches
from app.domain.states import JobStatus
from app.operations.inspect import inspect
from app.services import Services

NODES_MAX_AGE = 1.0


async def obstacles(services: Services, job: Job) -> tuple[Reason, ...]:
    """Dependencies and start time of one that is not eligible; of one that is, a stopped queue, and labels that no node
    carries. Such labels are no error: a node with them may come at any time."""
    if job.status is JobStatus.SUBMITTED:
        [view] = await inspect(services, [job])
        return view.reasons
    return (*await _pause(services), *await _labels(services, job))


async def _pause(services: Services) -> list[Reason]:
    pause = await services.scheduler.pause()
    return [] if pause is None else [explain.queue_paused(pause.actor, pause.at, pause.reason)]


async def _labels(services: Services, job: Job) -> list[Reason]:
    nodes = await services.recent.get("nodes", services.nodes.all, NODES_MAX_AGE)
    present = [node for node in nodes if node.state is not NodeState.LOST]
    if not job.node_selector or any(matches(node.labels, job.node_selector) for node in present):
        return []
    return [explain.node_selector(tuple(sorted(job.node_selector.items())), len(present))]
