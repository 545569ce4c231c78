"""Cursors: opaque text of `[A-Za-z0-9_-]` that tells where a listing goes on, and which listing it is."""

from __future__ import annotations

import base64
import binascii

from app.domain.errors import Invalid


def cursor(listing: str, place: str) -> str:
    """The cursor for what follows `place` in this listing."""
    return base64.urlsafe_b64encode(f"{listing} {place}".encode()).decode().rstrip("=")


def place_of(listing: str, text: str) -> str:
    """The place that a cursor of this listing names. Raises Invalid for any other text."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raw = ""
    kind, _, place = raw.partition(" ")
    if kind != listing or not place:
        raise _foreign()
    return place


def whole_place_of(listing: str, text: str) -> int:
    """The same for a listing whose places are whole numbers."""
    place = place_of(listing, text)
    if not (place.isascii() and place.isdigit() and len(place) < 10):
        raise _foreign()
    return int(place)


def _foreign() -> Invalid:
    message = "is not a cursor of this listing; send `next_cursor` as it was answered, or leave it out"
    return Invalid.one("cursor", message)
