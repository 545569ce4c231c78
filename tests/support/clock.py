"""A clock that tests move by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.clock import whole_milliseconds

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class FixedClock:
    """Stands still until it is moved."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = whole_milliseconds(at)

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta | float) -> datetime:
        """Move on by a duration (a number is seconds) and tell the new time."""
        self.at = whole_milliseconds(self.at + (by if isinstance(by, timedelta) else timedelta(seconds=by)))
        return self.at
