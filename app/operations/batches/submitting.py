"""Submit a batch: plan every job, store all of them and the batch as one, then tell the index. Answered means: durable.

The ids of the jobs follow from that of the batch. Nothing but numbers of names is written before everything is checked.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.batch_requests import BatchRequest, batch_errors, let_in
from app.domain.batches import Batch, Counts, member_id, new_batch_id
from app.domain.dependencies import Met, Verdict
from app.domain.errors import FieldError, Invalid
from app.domain.job import Job
from app.domain.naming import suffixed
from app.domain.new_batch import build_batch
from app.domain.new_job import build_job
from app.domain.queueing import ticket_of
from app.domain.siblings import base_names
from app.domain.specification import Specification
from app.domain.states import JobStatus
from app.domain.transitions import Stamp
from app.operations.advance import decide_waiting
from app.operations.callbacks import callback_errors
from app.operations.change import commit_all
from app.operations.hints import hinted
from app.operations.inheritance import decide_lending
from app.operations.once import Answer, IdempotencyKey, replay
from app.operations.plan_many import Planning, breathe, in_parts, plan_all, planning, verdicts_on_all
from app.operations.quotas import refuse_over_quota
from app.operations.sealing import drop_sealed, seal
from app.services import Services

JOBS = "jobs"
MOST_PARENTS = 10_000
"""Different jobs that the jobs of one batch may depend on."""
PART = 500
"""Jobs that are told to the index at a time."""
SEALED = 50
"""Jobs whose secrets are stored at a time."""
TIES = 16
"""Order keys of a batch lie a sixteenth of a microsecond apart, the smallest step of a double there but one."""


@dataclass(frozen=True, slots=True)
class BatchSubmitted:
    """A batch that was accepted, with its jobs as they were stored."""

    batch: Batch
    jobs: Sequence[Job]


@dataclass(frozen=True, slots=True)
class _Planned:
    """All that is known of the jobs before the batch is made."""

    specifications: Sequence[Specification]
    verdicts: Sequence[Verdict]
    names: Sequence[str]


async def submit_batch(
    services: Services,
    request: BatchRequest,
    actor: str,
    render: Callable[[BatchSubmitted], bytes],
    key: IdempotencyKey | None = None,
) -> Answer:
    """Plan, insert, enqueue. `render` makes the bytes of the answer. Raises Invalid with the place of each fault,
    QuotaExceeded and Unavailable; then nothing is stored."""
    if key is not None and (earlier := await services.batches.answer_under(key.key)) is not None:
        return replay(earlier, key)
    if errors := [*batch_errors(request), *callback_errors(services, request.callback_url)]:
        raise Invalid(errors)
    await refuse_over_quota(services, request.tenant, len(request.jobs))
    plans = await planning(services)
    planned = await _plan(services, plans, request)
    submitted = await _made(services, request, planned, actor)
    answer = Answer(201, render(submitted))
    await _seal(services, submitted.jobs, planned.specifications)
    stored = None if key is None else key.remembered(answer, submitted.batch.submitted_at)
    taken = await services.batches.insert(submitted.batch, submitted.jobs, stored)
    if taken is not None and key is not None:
        await in_parts(submitted.jobs, PART, lambda part: _forget(services, part))
        return replay(taken, key)
    await enter(services, submitted.jobs)
    return answer


async def _plan(services: Services, plans: Planning, request: BatchRequest) -> _Planned:
    specifications = await plan_all(plans, request.jobs, JOBS)
    named = {parent for job in request.jobs for parent in job.dependencies}
    if len(named) > MOST_PARENTS:
        message = f"the batch depends on {len(named):,} jobs; at most {MOST_PARENTS:,}"
        raise Invalid([FieldError(JOBS, message)])
    found = await services.jobs.get_many(named) if named else {}
    verdicts = await verdicts_on_all(request.jobs, found, JOBS)
    return _Planned(specifications, verdicts, await _names(services, specifications))


async def _names(services: Services, specifications: Sequence[Specification]) -> list[str]:
    """A name for each: those that users gave as they are, others by what tells them apart, numbered where they repeat,
    here or with jobs that were there before."""
    bases = await asyncio.to_thread(base_names, specifications)
    own = [base for base, s in zip(bases, specifications, strict=True) if not s.named_by_user]
    following = await services.names.claim_many(Counter(own))
    names = []
    for base, specification in zip(bases, specifications, strict=True):
        if specification.named_by_user:
            names.append(base)
        else:
            names.append(suffixed(base, following[base]))
            following[base] += 1
    return names


async def _made(services: Services, request: BatchRequest, planned: _Planned, actor: str) -> BatchSubmitted:
    """The batch and its jobs, as they are to be stored."""
    stamp = services.stamp(actor)
    batch = await _batch(services, request, planned.specifications, stamp)
    queued = let_in(planned.specifications, _ready(planned, stamp.at), batch.width, ordered=batch.sequential)
    jobs = []
    for n, specification in enumerate(planned.specifications):
        job = build_job(
            specification,
            job_id=member_id(batch.id, n),
            name=planned.names[n],
            eligible=n in queued,
            stamp=Stamp(stamp.at, stamp.actor, f"{stamp.op}.{n:x}"),
            tie=n / TIES,
            batch_id=batch.id,
            membership=batch.membership(n),
        )
        jobs.append(job)
        await breathe(n)
    counts = Counts(Counter(job.status for job in jobs))
    return BatchSubmitted(replace(batch, counts=counts, counted_at=stamp.at), jobs)


def _ready(planned: _Planned, now: datetime) -> Iterator[int]:
    """The places of the jobs that nothing but the batch itself keeps from the queue."""
    for n, (specification, verdict) in enumerate(zip(planned.specifications, planned.verdicts, strict=True)):
        start = specification.request.start_after
        if isinstance(verdict, Met) and not specification.limits and (start is None or start <= now):
            yield n


async def _batch(
    services: Services, request: BatchRequest, specifications: Sequence[Specification], stamp: Stamp
) -> Batch:
    templates = {specification.template.id for specification in specifications}
    template = templates.pop() if len(templates) == 1 else None
    base = f"{(template or 'mixed').replace('_', '-')}-x{len(specifications)}"
    return build_batch(
        request,
        batch_id=new_batch_id(stamp.at, os.urandom(7)),
        name=request.name or suffixed(base, await services.names.claim(base)),
        size=len(specifications),
        template=template,
        max_parallel=request.max_parallel,
        stamp=stamp,
    )


async def _seal(services: Services, jobs: Sequence[Job], specifications: Sequence[Specification]) -> None:
    """Store the secrets of those that have any, before the jobs that name them."""
    secret = [(job, s) for job, s in zip(jobs, specifications, strict=True) if job.sealed is not None]
    await in_parts(secret, SEALED, lambda part: asyncio.gather(*(seal(services, *each) for each in part)))


async def _forget(services: Services, jobs: Sequence[Job]) -> None:
    """The secrets of jobs that were not inserted after all."""
    await asyncio.gather(*(drop_sealed(services, job) for job in jobs if job.sealed is not None))


async def enter(services: Services, jobs: Sequence[Job]) -> None:
    """After the insert: those that are QUEUED into the index, the others get one more look at what they wait for, since
    it may have happened meanwhile; and their parents are considered in their class."""
    await in_parts([job for job in jobs if job.status is JobStatus.QUEUED], PART, lambda part: _enqueue(services, part))
    waiting = [job for job in jobs if job.status is JobStatus.SUBMITTED and (job.dependencies or job.limits)]
    await in_parts(waiting, PART, lambda part: hinted("look_again", _look(services, part)))


async def _enqueue(services: Services, jobs: Iterable[Job]) -> None:
    await hinted("enqueue", services.queue.enqueue([ticket_of(job) for job in jobs]))


async def _look(services: Services, jobs: Sequence[Job]) -> None:
    await commit_all(services, await decide_waiting(services, jobs))
    await commit_all(services, await decide_lending(services, jobs))
