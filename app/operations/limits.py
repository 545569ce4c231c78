"""Let jobs into the queue as places in their limits are free, in the order of class and key.

A place is taken before the change that needs it is committed. When that change is then lost, or this process dies, the
place is held by a job that must not have it, until the reconciler gives it back; never are there too many.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from app.domain.batches import ENDING, Batch, BatchStatus
from app.domain.explain import Reason, batch_order, batch_width, named_limit
from app.domain.job import Job
from app.domain.limits import Held, batch_limit, batch_of, full, holds_places, in_turn, limits_of, sizes_of
from app.domain.states import JobStatus
from app.domain.transitions import Change, become_eligible
from app.operations.readiness import is_ready, verdicts_on
from app.services import Services

log = structlog.get_logger()
MOST_LOOKED_AT = 200
"""Of each class that waits for a place."""
SPARE, AT_ONCE = 8, 500
"""Of a batch, how many more are looked at first than there are places, since some may wait for other things; and how
many at most are let in at a time."""
HELD_MAX_AGE = 0.25
MOST_SHOWN = 100
UNKNOWN_TOLD = 600.0
"""Seconds until it is said again that a process lacks a limit."""


@dataclass(frozen=True, slots=True)
class LimitState:
    """A named limit: its size, who holds its places (at most a hundred, by id), of how many, and how many wait."""

    name: str
    size: int
    holders: tuple[str, ...]
    held: int
    waiting: int


async def limit_states(services: Services) -> list[LimitState]:
    """Every limit of the setting, by name."""
    sizes = services.settings.limits.concurrency
    held, waiting = await services.limits.held(sizes), await services.jobs.waiting_counts(sorted(sizes))
    return [
        LimitState(name, sizes[name], tuple(sorted(holders)[:MOST_SHOWN]), len(holders), waiting[name])
        for name in sorted(sizes)
        for holders in [held.get(name, {})]
    ]


async def decide_admission(
    services: Services, names: Collection[str], ready: Sequence[Job] = ()
) -> list[tuple[Job, Change]]:
    """The changes of those jobs that are first in these limits and got their places. `ready`: jobs that are looked at
    whatever stands before them. A worker leaves those to the leader that name a limit which it does not know."""
    sizes = services.settings.limits.concurrency
    jobs = await _known_here(services, await _candidates(services, names, ready))
    limits = {limit for job in jobs for limit in limits_of(job)}
    held = await services.limits.held(limits) if jobs else {}
    decided: list[tuple[Job, Change]] = []
    for job in jobs:
        own, stamp = sizes_of(job, sizes), services.stamp()
        if any(job.id not in held[name] for name in full(held, own)):
            continue
        if await services.limits.take(job.id, own, stamp.op):
            decided.append((job, become_eligible(job, stamp)))
            held = {**held, **{name: {**held.get(name, {}), job.id: stamp.op} for name in own}}
        else:
            held = await services.limits.held(limits)
    return decided


async def _known_here(services: Services, jobs: Sequence[Job]) -> Sequence[Job]:
    """Those of which this process may judge whether they have their places."""
    unknown = {name for job in jobs for name in job.limits} - services.settings.limits.concurrency.keys()
    if services.knows_limits or not unknown:
        return jobs

    async def tell() -> None:
        remedy = "give the workers the CONCURRENCY_LIMITS of the API; until then the leader lets these jobs in"
        log.warning("limits.unknown", names=sorted(unknown), remedy=remedy)

    await services.reminders.get(("limits.unknown", *sorted(unknown)), tell, UNKNOWN_TOLD)
    return [job for job in jobs if not unknown.intersection(job.limits)]


async def _candidates(services: Services, names: Collection[str], ready: Sequence[Job]) -> list[Job]:
    """Those that nothing but a place keeps, in their order."""
    named = [name for name in names if batch_of(name) is None]
    of_names = await services.jobs.waiting_for(named, MOST_LOOKED_AT) if named else []
    ids = {batch for name in names if (batch := batch_of(name)) is not None}
    batches = await _letting_in(services, ids.union(job.batch_id for job in (*ready, *of_names) if job.batch_id))
    of_batches = [job for i in sorted(ids) if i in batches for job in await _next_of(services, batches[i])]
    jobs = list({job.id: job for job in (*ready, *of_names, *of_batches)}.values())
    open_to = [job for job in jobs if job.batch_id is None or job.batch_id in batches]
    return in_turn(await _first_in_order(services, await _ready(services, open_to)))


async def _ready(services: Services, jobs: Sequence[Job]) -> list[Job]:
    jobs = [job for job in jobs if job.status is JobStatus.SUBMITTED]  # others were let in since they were found
    verdicts, now = await verdicts_on(services, jobs), services.clock.now()
    return [job for job, verdict in zip(jobs, verdicts, strict=True) if is_ready(job, verdict, now)]


async def _letting_in(services: Services, batch_ids: Iterable[str]) -> dict[str, Batch]:
    """Those of the batches whose jobs may go on: not paused, not being ended."""
    ids = sorted(batch_ids)
    found = await services.batches.get_many(ids) if ids else {}
    return {i: b for i, b in found.items() if b.status is BatchStatus.RUNNING and not b.wants(*ENDING)}


async def _next_of(services: Services, batch: Batch) -> list[Job]:
    """The next jobs of a batch that are ready, as many as it has places for."""
    name = batch_limit(batch.id)
    if batch.width is None:
        return []
    free = batch.width - len((await services.limits.held([name])).get(name, {}))
    for most in (min(free + SPARE, AT_ONCE), MOST_LOOKED_AT) if free > 0 else ():
        ids = await services.batches.next_waiting(batch.id, most)
        found = await services.jobs.get_many(ids)
        if (ready := await _ready(services, list(found.values()))) or len(ids) < most:
            return ready
    return []


async def _first_in_order(services: Services, jobs: Sequence[Job]) -> list[Job]:
    """Without the jobs of sequential batches before which another has not ended."""
    strict = {job.batch_id for job in jobs if job.batch_id and job.membership and job.membership.in_order}
    first = await services.batches.first_open(sorted(strict)) if strict else {}
    return [job for job in jobs if job.batch_id not in strict or first.get(job.batch_id or "") == job.id]


@dataclass(frozen=True, slots=True)
class Room:
    """What keeps jobs out at a moment: who holds which places, and who is the first open one of a sequential batch."""

    held: Held = field(default_factory=dict)
    first: Mapping[str, str] = field(default_factory=dict)


async def room_for(services: Services, jobs: Iterable[Job]) -> Room:
    """As it was a moment ago; nothing is asked where none of the jobs waits for a place."""
    waiting = [job for job in jobs if limits_of(job) and not holds_places(job)]
    if not waiting:
        return Room()
    names = sorted({name for job in waiting for name in limits_of(job)})
    ordered = sorted({job.batch_id for job in waiting if job.batch_id and job.membership and job.membership.in_order})

    async def look() -> Room:
        held = await services.limits.held(names)
        return Room(held, await services.batches.first_open(ordered) if ordered else {})

    found: Room = await services.recent.get(f"room:{','.join(names)}", look, HELD_MAX_AGE)
    return found


def lacking(services: Services, job: Job, room: Room) -> tuple[Reason, ...]:
    """Why the job is not let in: one reason for each of its limits that has no free place for it."""
    if not limits_of(job) or holds_places(job):
        return ()
    sizes = sizes_of(job, services.settings.limits.concurrency)
    taken = [name for name in sizes if name in full(room.held, sizes) and job.id not in room.held[name]]
    reasons = [_full(name, sizes[name], sorted(room.held[name])) for name in taken if not _is_order_of(job, name)]
    return (*_out_of_order(job, room), *reasons)


def _is_order_of(job: Job, name: str) -> bool:
    """Whether it is the limit of its sequential batch, which is told as an order."""
    return batch_of(name) is not None and job.membership is not None and job.membership.in_order


def _full(name: str, size: int, holders: Sequence[str]) -> Reason:
    batch = batch_of(name)
    return named_limit(name, size, holders) if batch is None else batch_width(batch, size, holders)


def _out_of_order(job: Job, room: Room) -> tuple[Reason, ...]:
    before = room.first.get(job.batch_id or "")
    if job.batch_id is None or before is None or before == job.id:
        return ()
    return (batch_order(job.batch_id, before),)
