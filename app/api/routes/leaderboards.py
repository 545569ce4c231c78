"""The leaderboard of a sweep."""

from fastapi import Response

from app.api.answers import json_response
from app.api.cursors import cursor as make_cursor
from app.api.cursors import place_of
from app.api.deps import DEFAULT_PAGE, BatchId, Cursor, Limit, Ports
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.sweeps import Leaderboard
from app.api.sweep_views import leaderboard_view
from app.domain.errors import Invalid
from app.operations.sweeps.leaderboard import leaderboard

router = api_router(f"{PREFIX}/batches", "batches")


@router.get("/{batch_id}/leaderboard", responses=problems(404, 409), response_model=Leaderboard)
async def get_batch_leaderboard(
    services: Ports, batch_id: BatchId, limit: Limit = DEFAULT_PAGE, cursor: Cursor = None
) -> Response:
    """The trials of a sweep, best first, a page at a time: what each tried, its value, the rung that it reached, its
    state and cost; and the best with its model, and which parameters matter.

    A trial's value is its objective at its best step; ties go to the one that held the cluster for less time. While the
    sweep is under way the order changes, so that a trial may be on two pages, or on none.
    """
    begin = 0 if cursor is None else _begin(batch_id, cursor)
    found = await leaderboard(services, batch_id, begin, limit)
    after = None if found.next_begin is None else make_cursor("board", f"{batch_id} {found.next_begin}")
    return json_response(leaderboard_view(found, after))


def _begin(batch_id: str, cursor: str) -> int:
    """Where the page begins. Raises Invalid."""
    place = place_of("board", cursor)
    of, _, begin = place.partition(" ")
    if of != batch_id or not begin.isdecimal() or len(begin) > 6:
        raise Invalid.one("cursor", "is not a cursor of this leaderboard; leave it out to begin at the best")
    return int(begin)
