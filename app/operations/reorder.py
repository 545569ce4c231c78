"""Move a waiting job to a position of its class, by hand: an operator's word outranks fairness and age.

The place is kept in the job, as an order key and the band of its new neighbours, so that it outlives the index. When no
key lies between the neighbours any more, those around are spread; that moves nobody past anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.errors import Invalid, InvalidTransition, StaleJob
from app.domain.job import Job
from app.domain.order_keys import key_between, spread
from app.domain.order_transitions import move
from app.domain.priority import RANK, Priority
from app.domain.records import Neighbours, OrderPoint, Place
from app.domain.states import JobStatus, allowed_from
from app.domain.transitions import Change, Stamp
from app.operations.control import control_job, load
from app.services import Services

FIRST_SPAN = 64
MOST_SHOWN = 100
TRIES = 8


@dataclass(frozen=True, slots=True)
class PushedBack:
    """A job that would stand one place further back in its class."""

    job_id: str
    class_position: int


@dataclass(frozen=True, slots=True)
class Reordering:
    """What a move does. `job` is as it is after it (a dry run: as it is); places count within its class. `pushed_back`:
    the first of those that stand further back for it, of `pushed_back_count`."""

    job: Job
    place_before: Place
    new_position: int
    pushed_back: tuple[PushedBack, ...]
    pushed_back_count: int


async def reorder(
    services: Services, job_id: str, position: int, actor: str, reason: str | None, *, dry_run: bool = False
) -> Reordering:
    """Move it there, or tell what that would do. Raises NotFound, InvalidTransition for a job that is not in the
    queue, Invalid for a position that its class has not, StaleJob when it keeps being changed meanwhile."""
    job = await load(services, job_id)
    place = (await services.queue.locate([job_id])).get(job_id)
    if job.status is not JobStatus.QUEUED or place is None:
        raise _not_waiting(job)
    found = await services.queue.neighbours(job.effective_priority, position, job_id)
    if not 1 <= position <= found.length:
        message = f"class {job.effective_priority} has {found.length} waiting jobs; a position is 1 to {found.length}"
        raise Invalid.one("new_position", f"{message}, got {position}")
    pushed = await _pushed_back(services, job, place.class_position, position, found)
    if not dry_run and position != place.class_position:
        job = await _move(services, job, position, found, actor, reason)
    return Reordering(job, place, position, pushed, max(0, place.class_position - position))


async def _move(services: Services, job: Job, position: int, found: Neighbours, actor: str, reason: str | None) -> Job:
    for _ in range(TRIES):
        key = key_between(found.before, found.after, job.order_key)
        if key is not None:
            return await _to(services, job.id, key, found.band, actor, reason)
        await _make_room(services, job.effective_priority, found)
        found = await services.queue.neighbours(job.effective_priority, position, job.id)
    raise StaleJob(job.id)


async def _to(services: Services, job_id: str, key: float, band: int, actor: str, reason: str | None) -> Job:
    def decide(job: Job, stamp: Stamp) -> Change | None:
        if job.status is not JobStatus.QUEUED:
            raise _not_waiting(job)
        return None if (job.order_key, job.pin) == (key, band) else move(job, key, band, stamp, reason)

    return await control_job(services, job_id, decide, actor)


async def _make_room(services: Services, priority: Priority, found: Neighbours) -> None:
    """Spread the jobs around the place over their own span; a wider one when that has too few keys."""
    count = FIRST_SPAN
    while True:
        members = await services.queue.span(priority, found.band, found.before or 0.0, count)
        even = spread([m.key for m in members])
        if even is not None:
            break
        if len(members) < count:
            even = [members[0].key + n for n in range(len(members))]
            break
        count *= 2
    moved = [(m.job_id, m.key, key) for m, key in zip(members, even, strict=True) if m.key != key]
    kept = await services.jobs.rekey(moved)
    await services.queue.enqueue(kept)


async def _pushed_back(services: Services, job: Job, old: int, new: int, found: Neighbours) -> tuple[PushedBack, ...]:
    """Those that now stand from the new position up to just before the old one."""
    if new >= old:
        return ()
    rank = RANK[job.effective_priority]
    after = OrderPoint(rank, found.band, found.before, "~") if found.before is not None else OrderPoint(rank, -1, 0, "")
    members = await services.queue.listing(after, min(old - new, MOST_SHOWN) + 1)
    others = [w.member.job_id for w in members if w.member.job_id != job.id][: min(old - new, MOST_SHOWN)]
    return tuple(PushedBack(job_id, new + n + 1) for n, job_id in enumerate(others))


def _not_waiting(job: Job) -> InvalidTransition:
    because = "only a job that waits in the queue can be moved"
    return InvalidTransition(job.id, job.status, JobStatus.QUEUED, allowed_from(job.status), because)
