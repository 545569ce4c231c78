"""Jobs and buckets that are left out of plans for a while, so that one bad document never stops the others.

Each comes back when its time is over: what made it bad may have been mended. Times are seconds on a monotonic clock.
"""

from __future__ import annotations

BAD = 60.0
"""For a document that cannot be read, or a bucket that cannot be planned."""
HELD_ELSEWHERE = 2.0
"""For a job whose next run holds an allocation already: another leader's work, or what a crash left behind."""


class SetAside:
    """Ids with the moment of their return."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, key: str, now: float, seconds: float) -> None:
        """Leave it out from now on for so long."""
        self._until[key] = now + seconds

    def current(self, now: float) -> frozenset[str]:
        """Those that are left out now."""
        for key in [k for k, until in self._until.items() if until <= now]:
            del self._until[key]
        return frozenset(self._until)
