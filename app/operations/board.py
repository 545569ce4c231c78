"""What the scheduler's leader last published, and what it makes of places in the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from app.domain.errors import Unavailable
from app.domain.estimates import Estimate, start_estimate
from app.domain.records import Board, Place
from app.services import Services

BOARD_MAX_AGE = 0.25


async def recent_board(services: Services) -> Board | None:
    """What the scheduler last published, at most a quarter of a second old; None when there is none."""
    try:
        return await services.recent.get("board", services.queue.board, BOARD_MAX_AGE)
    except Unavailable:
        return None


def estimate_at(board: Board | None, place: Place, now: datetime) -> Estimate | None:
    """When the job that stands there should start; None without a board, and while the queue is paused."""
    if board is None or board.paused:
        return None
    return start_estimate(board.forecast, place.bucket_id, place.place, place.position, now)


async def places_of(services: Services, job_ids: Sequence[str], board: Board | None) -> dict[str, Place]:
    """Where these wait, as the next cycle considers them. Absent ones are left out. Raises Unavailable."""
    lane = board.lane if board is not None else ()
    found = await services.queue.locate(list(dict.fromkeys((*job_ids, *lane))))
    first = {job_id: found[job_id] for job_id in lane if job_id in found}
    return {job_id: with_lane(job_id, found[job_id], first) for job_id in job_ids if job_id in found}


def with_lane(job_id: str, place: Place, lane: Mapping[str, Place]) -> Place:
    """The place once the overdue of the guarantee lane go first, in their order. `lane`: where they stand in the main
    order."""
    if not lane:
        return place
    if job_id in lane:
        return replace(place, position=list(lane).index(job_id) + 1)
    overtaken_by = sum(other.position > place.position for other in lane.values())
    return replace(place, position=place.position + overtaken_by)
