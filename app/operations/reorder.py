"""Move a waiting job to a position of its class, by hand: an operator's word outranks fairness and age.

The place is kept in the job, as an order key and the band of its new neighbours, so that it outlives the index. When no
key lies between the neighbours any more, those around are spread; that moves nobody past anybody.
"""

from __future__ import annotations

from app.domain.errors import Invalid, InvalidTransition, StaleJob
from app.domain.job import Job
from app.domain.order_keys import apart, key_between, spread
from app.domain.order_transitions import move
from app.domain.priority import Priority
from app.domain.records import Neighbours, Place
from app.domain.states import JobStatus, allowed_from
from app.domain.transitions import Change, Stamp
from app.operations.control import control_job, load
from app.operations.indexing import index_waiting
from app.operations.pushed_back import Reordering, foresee
from app.services import Services

FIRST_SPAN = 64
MOST_SPREAD = 1 << 16
TRIES = 8
BEYOND = 1_000_000_000
"""No class has so many jobs: positions above it are out of range, whatever they are."""


async def reorder(
    services: Services, job_id: str, position: int, actor: str, reason: str | None, *, dry_run: bool = False
) -> Reordering:
    """Move it there, or tell what that would do. Raises NotFound, InvalidTransition for a job that is not in the
    queue, Invalid for a position that its class has not, StaleJob when it keeps being changed meanwhile."""
    job = await load(services, job_id)
    place = await _place(services, job)
    found = await services.queue.neighbours(job.effective_priority, min(max(position, 1), BEYOND), job_id)
    if not 1 <= position <= found.length:
        message = f"class {job.effective_priority} has {found.length} waiting jobs; a position is 1 to {found.length}"
        elsewhere = "to move it into another class, change its priority"
        raise Invalid.one("new_position", f"{message}, got {position}; {elsewhere}")
    foreseen = await foresee(services, job, place, position, found)
    if dry_run or position == place.class_position:
        return foreseen
    return foreseen.after(await _move(services, job, position, found, actor, reason))


async def _place(services: Services, job: Job) -> Place:
    """Where it waits. One that was queued a moment ago may not be in the index yet: that is a conflict, too."""
    if job.status is not JobStatus.QUEUED:
        raise _not_waiting(job)
    place = (await services.queue.locate([job.id])).get(job.id)
    if place is None:
        raise StaleJob(job.id)
    return place


async def _move(services: Services, job: Job, position: int, found: Neighbours, actor: str, reason: str | None) -> Job:
    for _ in range(TRIES):
        key = key_between(found.before, found.after, job.order_key)
        if key is not None:
            return await _to(services, job, key, found.band, position, actor, reason)
        await _make_room(services, job.effective_priority, found)
        found = await services.queue.neighbours(job.effective_priority, position, job.id)
    raise StaleJob(job.id)


async def _to(
    services: Services, seen: Job, key: float, band: int, position: int, actor: str, reason: str | None
) -> Job:
    """The key and band hold in the class that was looked at, and in no other."""

    def decide(job: Job, stamp: Stamp) -> Change | None:
        if job.status is not JobStatus.QUEUED:
            raise _not_waiting(job)
        if job.effective_priority is not seen.effective_priority:
            raise StaleJob(job.id)
        return None if (job.order_key, job.pin) == (key, band) else move(job, key, band, position, stamp, reason)

    return await control_job(services, seen.id, decide, actor)


async def _make_room(services: Services, priority: Priority, found: Neighbours) -> None:
    """Spread the jobs around the place over their own span; a wider one when that has too few keys."""
    count, known = FIRST_SPAN, 0
    while True:
        members = await services.queue.span(priority, found.band, found.before or 0.0, count)
        even = spread([m.key for m in members])
        if even is None and (len(members) == known or count > MOST_SPREAD):
            even = apart([m.key for m in members])
        if even is not None:
            break
        count, known = 2 * count, len(members)
    moved = [(m.job_id, m.key, key) for m, key in zip(members, even, strict=True) if m.key != key]
    await index_waiting(services, await services.jobs.rekey(moved))


def _not_waiting(job: Job) -> InvalidTransition:
    because = "only a job that waits in the queue can be moved"
    return InvalidTransition(job.id, job.status, JobStatus.QUEUED, allowed_from(job.status), because)
