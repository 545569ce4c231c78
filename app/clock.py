"""The only place that asks the clock.

Everything that needs the time gets a `Clock`, or the time itself as `now`. A timestamp is UTC, aware, and has whole
milliseconds: that is what MongoDB stores, so a value that went through the store compares equal to the one that did
not. Durations are measured on the monotonic clock of the event loop, never by subtracting two of these.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Answers what time it is."""

    def now(self) -> datetime:
        """The present, UTC, aware, in whole milliseconds."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        return whole_milliseconds(datetime.now(UTC))


def whole_milliseconds(at: datetime) -> datetime:
    """`at` with what is finer than a millisecond cut off (never rounded up: a timestamp must not lie in the future)."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
