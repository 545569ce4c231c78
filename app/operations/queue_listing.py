"""The queue, a page at a time, in the order in which the next cycle considers it: the overdue that the guarantee lane
takes first, then all others by class, band and key.

A page goes on behind a point of that order, not behind a number of jobs: what starts, comes or is moved meanwhile makes
no other job be missed or told twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.job import Job
from app.domain.records import OrderPoint, Waiting
from app.domain.states import JobStatus
from app.operations.board import recent_board
from app.services import Services

MAX_ROUNDS = 8
"""Looks for one page; more only where jobs of the lane fill whole pages of the main order."""
Overdue = tuple[float, str]
"""Due time and id: a point of the lane."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a page ended: the last of the lane that was told, and the last of the main order, if it came to that."""

    lane: Overdue | None = None
    main: OrderPoint | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs in order; `following` is None on the last page."""

    jobs: tuple[Job, ...]
    following: Bookmark | None


async def list_waiting(services: Services, after: Bookmark, limit: int) -> Page:
    """At most `limit` QUEUED jobs from there on. Raises Unavailable while the index is away."""
    first = await _lane(services, after, limit) if after.main is None else []
    if first:
        after = Bookmark(_due(first[-1]))
    if len(first) == limit:
        return Page(await _queued(services, first), after)
    rest, following = await _main(services, after, limit - len(first))
    return Page(await _queued(services, [*first, *rest]), following)


async def _lane(services: Services, after: Bookmark, limit: int) -> list[Waiting]:
    board = await recent_board(services)
    if board is None or not board.lane:
        return []
    found = await services.queue.find(board.lane)
    return sorted((w for w in found.values() if after.lane is None or _due(w) > after.lane), key=_due)[:limit]


async def _main(services: Services, after: Bookmark, limit: int) -> tuple[list[Waiting], Bookmark | None]:
    """Without those that were told as members of the lane: all that were due no later than its last."""
    page: list[Waiting] = []
    for _ in range(MAX_ROUNDS):
        wanted = limit - len(page)
        found = await services.queue.listing(after.main, wanted)
        page += [w for w in found if after.lane is None or _due(w) > after.lane]
        if len(found) < wanted:
            return page, None
        after = Bookmark(after.lane, found[-1].point)
        if len(page) == limit:
            break
    return page, after


async def _queued(services: Services, waiting: Sequence[Waiting]) -> tuple[Job, ...]:
    """Those that are QUEUED in truth."""
    ids = [w.member.job_id for w in waiting]
    found = await services.jobs.get_many(ids)
    return tuple(found[i] for i in ids if i in found and found[i].status is JobStatus.QUEUED)


def _due(waiting: Waiting) -> Overdue:
    return waiting.member.demand.due, waiting.member.job_id
