"""Timestamps as text: RFC 3339 in UTC with exactly three decimals and `Z`, the one form in answers, history and events.

Fixed width, so that they sort as text. Milliseconds are all that the store keeps; what is finer is cut off, never
rounded up: a timestamp must not lie in the future.
"""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(at: datetime) -> str:
    """`2026-01-01T12:00:00.000Z`. `at` must be aware: a time without a zone is a mistake of the caller."""
    assert at.tzinfo is not None, "a timestamp knows its zone"
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def optional_rfc3339(at: datetime | None) -> str | None:
    """The same, or None for a time that has not come."""
    return None if at is None else rfc3339(at)
