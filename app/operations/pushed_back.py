"""Who stands further back when a job is moved forward, and what that does to their estimated starts.

Nothing is simulated: of those in the moved job's bucket the start is that of the next place in it; of others it is one
step of the queue's pace later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain.job import Job
from app.domain.priority import RANK, SECOND
from app.domain.records import Board, Neighbours, OrderPoint, Place
from app.operations.board import estimate_at, recent_board
from app.services import Services

MOST_SHOWN = 100
SAME_KEY = 8
"""Jobs that may stand before the first of those looked for, at the same key."""


@dataclass(frozen=True, slots=True)
class PushedBack:
    """A job that stands one place further back in its class; its starts are None where none is known."""

    job_id: str
    position_before: int
    start_before: datetime | None
    start_after: datetime | None


@dataclass(frozen=True, slots=True)
class Reordering:
    """What a move does. `job` is as it is after it (a dry run: as it is); positions count within its class.
    `pushed_back`: the first of those that stand further back for it, of `pushed_back_count`."""

    job: Job
    position_before: int
    position: int
    start_before: datetime | None
    start_after: datetime | None
    pushed_back: tuple[PushedBack, ...]
    pushed_back_count: int

    def after(self, job: Job) -> Reordering:
        """The same, made true of the job."""
        return replace(self, job=job)


async def foresee(services: Services, job: Job, place: Place, position: int, found: Neighbours) -> Reordering:
    """What a move to that position of its class does. `found`: its neighbours there."""
    board = await recent_board(services)
    starts = Starts(board, services.clock.now())
    jumped = max(0, place.class_position - position)
    places = await _places(services, job, place, position, found) if jumped else {}
    pushed = tuple(starts.pushed(job_id, at, place.bucket_id) for job_id, at in places.items())
    alike = sum(at.bucket_id == place.bucket_id for at in places.values())
    whole = len(places) == jumped
    return Reordering(
        job=job,
        position_before=place.class_position,
        position=position,
        start_before=starts.at(place),
        start_after=starts.at(_moved(place, position, alike if whole else None)),
        pushed_back=pushed,
        pushed_back_count=jumped,
    )


async def _places(services: Services, job: Job, place: Place, position: int, found: Neighbours) -> dict[str, Place]:
    """The first of those between the two positions, in order, and where they stand now."""
    most = min(place.class_position - position, MOST_SHOWN)
    key = found.before if found.before is not None else (found.after or 0.0) - SECOND
    after = OrderPoint(RANK[job.effective_priority], found.band, key, "")
    members = await services.queue.listing(after, most + SAME_KEY)
    ids = [w.member.job_id for w in members if w.member.job_id != job.id]
    places = await services.queue.locate(ids)
    between = range(position, place.class_position)
    shown = [i for i in ids if i in places and places[i].class_position in between]
    return {job_id: places[job_id] for job_id in shown[:most]}


def _moved(place: Place, position: int, alike: int | None) -> Place:
    """The place of the moved job, `alike` of those that it passes being of its bucket; with None it stands in a bucket
    of which nothing is known."""
    jumped = place.class_position - position
    ahead = max(1, place.position - jumped)
    if alike is None or jumped < 0:
        return Place(ahead, position, 1, "")
    return Place(ahead, position, max(1, place.place - alike), place.bucket_id)


@dataclass(frozen=True, slots=True)
class Starts:
    """Estimated starts by what the scheduler last published; all None when it has published nothing, and while the
    queue is paused."""

    board: Board | None
    now: datetime

    def at(self, place: Place) -> datetime | None:
        """Of the job that stands there."""
        estimate = estimate_at(self.board, place, self.now)
        return None if estimate is None else estimate.start

    def pushed(self, job_id: str, place: Place, bucket_id: str) -> PushedBack:
        """Of a job that stands there, before and after another of `bucket_id` is put before it."""
        before = self.at(place)
        return PushedBack(job_id, place.class_position, before, self._behind(place, before, bucket_id))

    def _behind(self, place: Place, before: datetime | None, bucket_id: str) -> datetime | None:
        if self.board is None or before is None:
            return None
        if place.bucket_id == bucket_id:
            return self.at(replace(place, place=place.place + 1, position=place.position + 1))
        return before + timedelta(seconds=self.board.forecast.pace)
