"""Submit a job: plan it (pure), insert it durably, then tell the index. Answered means: durable.

With an idempotency key the answer is stored in the same transaction as the job, so the queue position in it is the one
the job is about to get, counted just before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import structlog

from app.domain.errors import FieldError, Invalid, Unavailable
from app.domain.estimates import Estimate, start_estimate
from app.domain.ids import new_job_id
from app.domain.job import Job
from app.domain.naming import suffixed
from app.domain.nearest import unknown_name
from app.domain.priority import RANK
from app.domain.queueing import ticket_of
from app.domain.records import Place, StoredAnswer
from app.domain.resources import Vector
from app.domain.specification import JobRequest, Specification, SubmitPolicy, build_job, specify
from app.domain.states import JobStatus
from app.domain.templates import Template
from app.operations.advance import decide_waiting
from app.operations.change import commit_all
from app.operations.inspect import recent_board
from app.operations.once import Answer, IdempotencyKey, earlier_answer, replay
from app.services import Services

log = structlog.get_logger()
_ties = count()
CAPACITIES_MAX_AGE = 1.0


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that was accepted, and where it stands; both None when it is not in the queue or the index is away."""

    job: Job
    position: int | None
    estimate: Estimate | None


async def plan(services: Services, request: JobRequest) -> Specification:
    """What would be stored. Raises Invalid with every error of the request, NotFound-like ones included."""
    template = await _template(services, request.template)
    capacities = await services.recent.get("capacities", lambda: _capacities(services), CAPACITIES_MAX_AGE)
    limits = services.settings.limits
    policy = SubmitPolicy(limits.job_timeout, limits.retry_attempts, capacities)
    return specify(request, template, policy)


async def submit(
    services: Services,
    request: JobRequest,
    actor: str,
    render: Callable[[Submitted], bytes],
    key: IdempotencyKey | None = None,
) -> Answer:
    """Plan, insert, enqueue. `render` makes the bytes of the answer. Raises Invalid and Unavailable."""
    if key is not None and (earlier := await earlier_answer(services, key)) is not None:
        return earlier
    job = await _new_job(services, await plan(services, request), actor)
    if key is None:
        await services.jobs.insert(job)
        return Answer(201, render(await _enter(services, job)))
    body = render(await _foretell(services, job))
    stored = StoredAnswer(key.key, key.body_digest, 201, body, job.submitted_at)
    taken = await services.jobs.insert_with_answer(job, stored)
    if taken is not None:
        return replay(taken, key)
    await _enter(services, job)
    return Answer(201, body)


async def _template(services: Services, template_id: str) -> Template:
    template = await services.templates.get(template_id)
    if template is None:
        known = [t.id for t in await services.templates.all()]
        message, near = unknown_name("template", template_id, known)
        raise Invalid.one("template", message, code="unknown_template", nearest=near)
    return template


async def _capacities(services: Services) -> tuple[Vector, ...]:
    """Of every node that registered, and of those that the autoscaler may create."""
    possible = [Vector.from_units(kind.model_dump()) for kind in services.settings.capacity.node_types.values()]
    return (*(node.capacity for node in await services.nodes.all()), *possible)


async def _new_job(services: Services, specification: Specification, actor: str) -> Job:
    eligible = await _eligible(services, specification.request)
    stamp = services.stamp(actor)
    name = specification.base_name
    if not specification.named_by_user:
        name = suffixed(name, await services.names.claim(name))
    job_id = new_job_id(stamp.at, os.urandom(10))
    tie = next(_ties) % 1_000
    return build_job(specification, job_id=job_id, name=name, eligible=eligible, stamp=stamp, tie=tie)


async def _eligible(services: Services, request: JobRequest) -> bool:
    """Whether it may be queued at once. Unknown and already failed parents are refused."""
    parents = await services.jobs.get_many(request.dependencies) if request.dependencies else {}
    errors = []
    for n, parent_id in enumerate(request.dependencies):
        if parent_id not in parents:
            errors.append(FieldError(f"dependencies[{n}]", f"there is no job {parent_id}"))
    if errors:
        raise Invalid(errors, code="unknown_job")
    for n, parent_id in enumerate(request.dependencies):
        parent = parents[parent_id]
        if parent.terminal and parent.status is not JobStatus.COMPLETED:
            message = f"{parent_id} ended {parent.status}; retry it, or leave it out"
            errors.append(FieldError(f"dependencies[{n}]", message))
    if errors:
        raise Invalid(errors, code="dependency_failed")
    open_parents = any(p.status is not JobStatus.COMPLETED for p in parents.values())
    later = request.start_after is not None and request.start_after > services.clock.now()
    return not open_parents and not later


async def _enter(services: Services, job: Job) -> Submitted:
    """After the insert: into the index, or one more look at the parents, one of which may have ended meanwhile."""
    if job.status is JobStatus.SUBMITTED:
        if job.dependencies:
            await commit_all(services, await decide_waiting(services, [job]))
        return Submitted(job, None, None)
    try:
        [place] = await services.queue.enqueue([ticket_of(job)])
    except Unavailable as error:
        log.warning("effect.postponed", effect="enqueue", store=error.store)
        return Submitted(job, None, None)
    return Submitted(job, place.position, await _estimate(services, place))


async def _foretell(services: Services, job: Job) -> Submitted:
    """Where the job is about to stand, counted before it is there."""
    if job.status is JobStatus.SUBMITTED:
        return Submitted(job, None, None)
    try:
        lengths = await services.queue.lengths()
    except Unavailable:
        return Submitted(job, None, None)
    own = RANK[job.effective_priority]
    ahead = sum(n for priority, n in lengths.items() if RANK[priority] <= own)
    place = Place(ahead + 1, lengths.get(job.effective_priority, 0) + 1, ahead + 1, "")
    return Submitted(job, place.position, await _estimate(services, place))


async def _estimate(services: Services, place: Place) -> Estimate | None:
    board = await recent_board(services)
    if board is None:
        return None
    return start_estimate(board.forecast, place.bucket_id, place.place, place.position, services.clock.now())
