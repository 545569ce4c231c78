"""Cursors of the queue's listing: a bookmark in its order as text, and back."""

from __future__ import annotations

from math import isfinite

from app.api.cursors import cursor as make_cursor
from app.api.cursors import place_of
from app.domain.errors import Invalid
from app.domain.ids import is_object_id
from app.domain.priority import RANK
from app.domain.records import OrderPoint
from app.operations.queue_listing import Bookmark

LISTING = "queue"
NONE = "-"
LARGEST = 1 << 53


def queue_cursor(mark: Bookmark) -> str:
    """The cursor for what follows."""
    lane = (NONE, NONE) if mark.lane is None else (repr(mark.lane[0]), mark.lane[1])
    point = mark.main
    main = (NONE,) * 4 if point is None else (str(point.rank), str(point.band), repr(point.key), point.job_id)
    return make_cursor(LISTING, " ".join((*lane, *main)))


def bookmark_of(cursor: str | None) -> Bookmark:
    """The bookmark that a cursor names; the beginning without one. Raises Invalid for text that is no such cursor."""
    if cursor is None:
        return Bookmark()
    try:
        due, overdue, *main = place_of(LISTING, cursor).split(" ")
        lane = None if due == NONE else (_number(due), _job_id(overdue))
        return Bookmark(lane, None if set(main) == {NONE} else _point(*main))
    except (ValueError, TypeError):
        raise Invalid.one("cursor", "is not a cursor of this listing; leave it out") from None


def _point(rank: str, band: str, key: str, job_id: str) -> OrderPoint:
    point = OrderPoint(int(rank), int(band), _number(key), _job_id(job_id))
    if point.rank not in RANK.values() or abs(point.band) > LARGEST:
        raise ValueError(rank)
    return point


def _number(text: str) -> float:
    number = float(text)
    if not isfinite(number) or abs(number) > LARGEST:
        raise ValueError(text)
    return number


def _job_id(text: str) -> str:
    if not is_object_id(text):
        raise ValueError(text)
    return text
