"""Submit a job: plan it (pure), insert it durably, then tell the index. Answered means: durable.

With an idempotency key the answer is stored together with the job, so the queue position in it is the one the job is
about to get, counted just before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from app.domain.calibration import Announcement
from app.domain.dependencies import Met
from app.domain.estimates import Estimate, announcement
from app.domain.explain import Reason
from app.domain.ids import new_job_id
from app.domain.job import Job
from app.domain.naming import suffixed
from app.domain.new_job import build_job
from app.domain.priority import RANK
from app.domain.queueing import ticket_of
from app.domain.records import Place
from app.domain.specification import JobRequest, Specification
from app.domain.states import JobStatus
from app.operations.board import estimate_at, recent_board
from app.operations.change import lend_upwards, look_again
from app.operations.hints import hinted
from app.operations.obstacles import obstacles
from app.operations.once import Answer, IdempotencyKey, replay
from app.operations.parents import places_of, refuse_unknown, verdict_on_new
from app.operations.plan import plan
from app.operations.quotas import refuse_over_quota
from app.operations.sealing import drop_sealed, seal
from app.services import Services

_ties = count()
PREVIEW_ID = "job_preview"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that was accepted, and where it stands; all None when it is not in the queue or the index is away. `said`:
    what its first estimate promises, to be scored when it starts."""

    job: Job
    position: int | None
    estimate: Estimate | None
    said: Announcement | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a submit would store now, and where the job would stand; its id and name are not given out.
    `reasons`: what is known now that would keep it waiting, apart from the jobs before it."""

    specification: Specification
    submitted: Submitted
    reasons: tuple[Reason, ...]


async def preview(services: Services, request: JobRequest) -> Preview:
    """Everything that a submit does before it writes. Raises Invalid and QuotaExceeded as a submit does."""
    specification = await plan(services, request)
    await refuse_over_quota(services, request.tenant)
    eligible = await _eligible(services, request, limited=bool(specification.limits))
    name = specification.base_name
    stamp = services.stamp()
    job = build_job(specification, job_id=PREVIEW_ID, name=name, eligible=eligible, stamp=stamp)
    return Preview(specification, await _foretell(services, job), await obstacles(services, job))


async def submit(
    services: Services,
    request: JobRequest,
    actor: str,
    render: Callable[[Submitted], bytes],
    key: IdempotencyKey | None = None,
) -> Answer:
    """Plan, insert, enqueue. `render` makes the bytes of the answer. Raises Invalid, QuotaExceeded and Unavailable."""
    if key is not None and (earlier := await services.jobs.answer_under(key.key)) is not None:
        return replay(earlier, key)
    specification = await plan(services, request)
    await refuse_over_quota(services, request.tenant)
    job = await _new_job(services, specification, actor)
    await seal(services, job, specification)
    if key is None:
        await services.jobs.insert(job)
        return Answer(201, render(await _enter(services, job)))
    answer = Answer(201, render(await _foretell(services, job)))
    taken = await services.jobs.insert_with_answer(job, key.remembered(answer, job.submitted_at))
    if taken is not None:
        await drop_sealed(services, job)
        return replay(taken, key)
    await _enter(services, job)
    return answer


async def _new_job(services: Services, specification: Specification, actor: str) -> Job:
    eligible = await _eligible(services, specification.request, limited=bool(specification.limits))
    stamp = services.stamp(actor)
    name = specification.base_name
    if not specification.named_by_user:
        name = suffixed(name, await services.names.claim(name))
    job_id = new_job_id(stamp.at, os.urandom(10))
    tie = next(_ties) % 1_000
    return build_job(specification, job_id=job_id, name=name, eligible=eligible, stamp=stamp, tie=tie)


async def _eligible(services: Services, request: JobRequest, *, limited: bool) -> bool:
    """Whether it may be queued at once. One that needs places in named limits waits for its turn first. Unknown parents
    are refused, and those that have ended so that it could never run."""
    named, met = request.dependencies, True
    if named:
        parents, places = await services.jobs.get_many(named), places_of("dependencies", named)
        refuse_unknown(places, parents)
        met = isinstance(verdict_on_new(request.dependency_type, named, parents, places, "dependency_type"), Met)
    later = request.start_after is not None and request.start_after > services.clock.now()
    return met and not later and not limited


async def _enter(services: Services, job: Job) -> Submitted:
    """After the insert: into the index, or one more look at the parents, one of which may have ended meanwhile, and at
    the places, one of which may be free."""
    if job.status is JobStatus.QUEUED:
        return await hinted("enqueue", _enqueue(services, job)) or Submitted(job, None, None)
    if job.dependencies or job.limits:
        job = await look_again(services, job)
    if job.dependencies:
        await hinted("lend_priority", lend_upwards(services, job))
    if job.status is JobStatus.QUEUED:
        return await hinted("locate", _located(services, job)) or Submitted(job, None, None)
    return Submitted(job, None, None)


async def _located(services: Services, job: Job) -> Submitted | None:
    place = (await services.queue.locate([job.id])).get(job.id)
    return None if place is None else await _standing(services, job, place)


async def _enqueue(services: Services, job: Job) -> Submitted:
    [place] = await services.queue.enqueue([ticket_of(job)])
    submitted = await _standing(services, job, place)
    if submitted.said is not None:
        services.announcements.say(job.id, submitted.said)
    return submitted


async def _foretell(services: Services, job: Job) -> Submitted:
    """Where the job is about to stand, counted before it is there."""
    if job.status is JobStatus.SUBMITTED:
        return Submitted(job, None, None)
    return await hinted("foretell", _counted(services, job)) or Submitted(job, None, None)


async def _counted(services: Services, job: Job) -> Submitted:
    lengths = await services.queue.lengths()
    own = RANK[job.effective_priority]
    ahead = sum(n for priority, n in lengths.items() if RANK[priority] <= own)
    place = Place(ahead + 1, lengths.get(job.effective_priority, 0) + 1, ahead + 1, "")
    return await _standing(services, job, place)


async def _standing(services: Services, job: Job, place: Place) -> Submitted:
    board = await recent_board(services)
    now = services.clock.now()
    estimate = estimate_at(board, place, now)
    if board is None or estimate is None:
        return Submitted(job, place.position, None)
    return Submitted(job, place.position, estimate, announcement(estimate, board.forecast, job.priority, now))
