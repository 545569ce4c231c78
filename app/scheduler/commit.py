"""Make a plan true: load the jobs, reserve on the nodes, compare-and-set, dispatch; in this order.

Each step is guarded by the store, so two leaders do no harm, and each leaves something that the reconciler recognises
when the process dies after it: an allocation without a live run, or a SCHEDULED job that nobody started.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.nodes import Allocation
from app.domain.queueing import ticket_of
from app.domain.states import JobStatus
from app.domain.transitions import place
from app.metrics import Metrics
from app.operations.change import commit_all
from app.scheduler.loading import load
from app.scheduler.planner import Placement
from app.scheduler.repairs import Held, holds_room
from app.services import Services

log = structlog.get_logger()

Checkpoint = Callable[[str], None]
"""Called after each step of a commit with its name; crash tests end the process there."""


def no_checkpoint(_: str) -> None:
    """What is called outside crash tests."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A placement whose job is still as the index said, with the allocation of its next run."""

    placement: Placement
    job: Job
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class Findings:
    """What loading the planned jobs showed. `gone` leave the index, `moved` enter it anew, `held` are let be."""

    ready: tuple[Ready, ...]
    gone: tuple[str, ...] = ()
    moved: tuple[Job, ...] = ()
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """`placed`: what now holds its place, jobs after their transition; `dropped`: planned, but not to be had."""

    placed: tuple[Ready, ...] = ()
    jobs: tuple[Job, ...] = ()
    dropped: int = 0


def check(placements: Sequence[Placement], jobs: Mapping[str, Job], held: frozenset[tuple[str, int]]) -> Findings:
    """Compare the plan with the jobs as they are. `held`: the (job_id, run_no) of every allocation in the snapshot."""
    ready, gone, moved, waiting = [], [], [], []
    for placement in placements:
        job = jobs.get(placement.job_id)
        if job is None or job.status is not JobStatus.QUEUED:
            gone.append(placement.job_id)
        elif not _is_as_planned(job, placement):
            moved.append(job)
        elif (job.id, job.run_no + 1) in held:
            waiting.append(job.id)
        else:
            allocation = Allocation(job.id, job.run_no + 1, placement.vector, placement.gpu_indices)
            ready.append(Ready(placement, job, allocation))
    return Findings(tuple(ready), tuple(gone), tuple(moved), tuple(waiting))


def _is_as_planned(job: Job, placement: Placement) -> bool:
    """Whether it asks for what the plan was made for, in the class, tenant and place that it was made for."""
    ticket, planned = ticket_of(job), placement.bucket
    asked = ticket.bucket.priority, ticket.bucket.tenant, ticket.bucket.pin
    return ticket.demand == placement.demand and asked == (planned.priority, planned.tenant, planned.pin)


async def mend_index(services: Services, metrics: Metrics, findings: Findings) -> None:
    """The index said something that the store does not know of: make it agree."""
    if findings.gone:
        await services.queue.dequeue(findings.gone)
        metrics.index_repairs.labels("stale").inc(len(findings.gone))
    if findings.moved:
        await services.queue.enqueue([ticket_of(job) for job in findings.moved])
        metrics.index_repairs.labels("moved").inc(len(findings.moved))


async def commit(services: Services, ready: Sequence[Ready], checkpoint: Checkpoint) -> Committed:
    """Reserve, compare-and-set, dispatch. What a node refuses is dropped; what a race takes is given back too."""
    reserved = await _reserve(services, ready)
    checkpoint("reserved")
    pairs = [(r.job, place(r.job, r.placement.node_id, r.placement.job_gpus, services.stamp())) for r in reserved]
    results = await commit_all(services, pairs)
    checkpoint("placed")
    won = [(r, job) for r, job in zip(reserved, results, strict=True) if job is not None]
    lost = [r for r, job in zip(reserved, results, strict=True) if job is None]
    await _give_back(services, lost)
    await dispatch(services, by_node([job for _, job in won]))
    checkpoint("dispatched")
    placed = tuple(r for r, _ in won)
    return Committed(placed, tuple(job for _, job in won), len(ready) - len(won))


async def _reserve(services: Services, ready: Sequence[Ready]) -> list[Ready]:
    """Those whose node granted them: all of a node in one guarded update, or none. A node that has registered anew by
    then grants nothing: its labels and its capacity may be others."""
    groups: dict[tuple[str, int], list[Ready]] = defaultdict(list)
    for r in ready:
        groups[r.placement.node_id, r.placement.epoch].append(r)
    answers = await asyncio.gather(
        *(services.nodes.reserve(node_id, [r.allocation for r in g], epoch) for (node_id, epoch), g in groups.items())
    )
    granted = []
    for ((node_id, _), group), yes in zip(groups.items(), answers, strict=True):
        if yes:
            granted.extend(group)
        else:
            log.info("reservation.refused", node_id=node_id, placements=len(group))
    return granted


async def _give_back(services: Services, lost: Sequence[Ready]) -> None:
    """Release the reservations of jobs that went elsewhere (a cancel, a hold).

    Not those of a job that another leader placed under the very same reservation, nor of one that is still queued and
    that another leader may be placing now: those are the reconciler's, after its grace.
    """
    jobs = (await load(services, [r.job.id for r in lost])).jobs
    groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for r in lost:
        held = Held(r.placement.node_id, r.allocation.job_id, r.allocation.run_no)
        job = jobs.get(held.job_id)
        if job is None or not (job.status is JobStatus.QUEUED or holds_room(job, held)):
            groups[held.node_id].append((held.job_id, held.run_no))
    await asyncio.gather(*(services.nodes.release(node_id, runs) for node_id, runs in groups.items()))


def by_node(jobs: Iterable[Job]) -> dict[str, list[tuple[str, int]]]:
    """The runs (job_id, run_no) of SCHEDULED jobs by their node."""
    groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for job in jobs:
        if job.node_id is not None:
            groups[job.node_id].append((job.id, job.run_no))
    return groups


async def dispatch(services: Services, runs: Mapping[str, Sequence[tuple[str, int]]]) -> None:
    """Tell the nodes. One that cannot be told finds its runs at its next beat, or the reconciler rings again."""
    await asyncio.gather(*(_tell(services, node_id, assignments) for node_id, assignments in runs.items()))


async def _tell(services: Services, node_id: str, assignments: Sequence[tuple[str, int]]) -> None:
    try:
        await services.dispatcher.dispatch(node_id, assignments)
    except Unavailable as error:
        log.warning("dispatch.postponed", node_id=node_id, runs=len(assignments), store=error.store)
