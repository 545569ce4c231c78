"""One look at the queue and the nodes, as gauges by the names of `app.domain.analytics.series`.

What the index in Redis knows, queue lengths and reasons to wait, is left out while it is away: a gap says so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from app.agreement import differing
from app.domain.analytics.figures import WAITING
from app.domain.errors import Unavailable
from app.domain.explain import WAIT_CODES
from app.domain.nodes import Node, NodeState
from app.domain.priority import Priority
from app.domain.records import Board, BucketHead, JobQuery
from app.domain.resources import total
from app.domain.states import JobStatus
from app.scheduler.cluster_gauges import used_by
from app.scheduler.verdicts import READY_FOR_TURN
from app.services import Services

log = structlog.get_logger()
DIFFERING_TOLD = 86_400.0
APART = (JobStatus.SUBMITTED, JobStatus.SCHEDULED, JobStatus.RUNNING, JobStatus.RETRYING, JobStatus.PAUSED)


async def sample(services: Services, now: datetime) -> dict[str, float]:
    """How things stand. Raises Unavailable when MongoDB is away."""
    jobs, nodes, queue = await asyncio.gather(_jobs(services, now), services.nodes.all(), _queue(services))
    await _tell_differing(services, nodes)
    found, reasons = jobs
    found |= node_gauges(nodes, now, services.settings.lease.duration)
    if queue is not None:
        heads, board = queue
        found |= _lengths(heads)
        found |= _waiting(Counter(reasons) + _reasons(heads, board))
    return found


async def _tell_differing(services: Services, nodes: Sequence[Node]) -> None:
    """Of each node once a day."""
    for node in nodes:
        names = [] if node.state is NodeState.LOST else differing(services.settings, node.facts)

        async def tell(node: Node = node, names: Sequence[str] = names) -> None:
            remedy = "start the service and its workers with the same"
            log.warning("settings.differ", node_id=node.id, names=names, remedy=remedy)

        if names:
            await services.reminders.get(("settings.differ", node.id, *names), tell, DIFFERING_TOLD)


async def _jobs(services: Services, now: datetime) -> tuple[dict[str, float], dict[str, int]]:
    """Gauges, and how many jobs wait outside the queue, by reason."""
    counts = await asyncio.gather(*(services.jobs.count(JobQuery(status=frozenset({status}))) for status in APART))
    jobs = dict(zip(APART, counts, strict=True))
    since, outside = await asyncio.gather(services.jobs.queued_since(), services.jobs.not_eligible(now))
    waits = {priority: max(0.0, (now - at).total_seconds()) for priority, at in since.items()}
    gauges: dict[str, float] = {
        "running_jobs": jobs[JobStatus.RUNNING],
        "scheduled_jobs": jobs[JobStatus.SCHEDULED],
        "pending_jobs": jobs[JobStatus.SUBMITTED] + jobs[JobStatus.RETRYING],
        "paused_jobs": jobs[JobStatus.PAUSED],
        "oldest_wait": max(waits.values(), default=0.0),
        **{f"oldest_wait_{priority}": waits.get(priority, 0.0) for priority in Priority},
    }
    return gauges, outside | {"retry_delay": jobs[JobStatus.RETRYING], "held": jobs[JobStatus.PAUSED]}


async def _queue(services: Services) -> tuple[list[BucketHead], Board | None] | None:
    try:
        return await services.queue.heads(), await services.queue.board()
    except Unavailable as error:
        log.warning("sample.without_queue", store=error.store)
        return None


def _lengths(heads: Sequence[BucketHead]) -> dict[str, float]:
    lengths = dict.fromkeys(Priority, 0)
    for head in heads:
        lengths[head.bucket.priority] += head.count
    return {"queue_length": sum(lengths.values()), **{f"queue_length_{p}": n for p, n in lengths.items()}}


def _reasons(heads: Sequence[BucketHead], board: Board | None) -> Counter[str]:
    """How many jobs of the queue wait, by the reason that the board says decides."""
    counts: Counter[str] = Counter()
    for head in heads:
        verdict = board.verdicts.get(head.bucket_id) if board is not None else None
        counts[verdict[0].code if verdict else READY_FOR_TURN] += head.count
    return counts


def _waiting(counts: Mapping[str, int]) -> dict[str, float]:
    """Every code, also those that hold no job."""
    return {f"{WAITING}{code}": counts.get(code, 0) for code in WAIT_CODES}


def node_gauges(nodes: Sequence[Node], now: datetime, lease: timedelta) -> dict[str, float]:
    """What the nodes that are not lost have, what runs hold of it, and what they use, in units people use."""
    present = [node for node in nodes if node.state is not NodeState.LOST]
    gauges: dict[str, float] = {"ready_nodes": sum(node.state is NodeState.READY for node in present)}
    for what, vectors in (
        ("capacity", [node.capacity for node in present]),
        ("allocated", [node.allocated for node in present]),
    ):
        gauges |= {f"{name}_{what}": amount for name, amount in total(vectors).units().items()}
    used = [used_by(node, now, lease) for node in present]
    cores, mebibytes = sum(cores for cores, _ in used), sum(memory for _, memory in used)
    return gauges | {"cpu_cores_used": cores, "memory_gb_used": mebibytes / 1024}
