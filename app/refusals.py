"""Late writes that were refused: each is a guard that did its work, and many of them are a sign of trouble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

KINDS = ("change", "progress", "end", "lease")
"""A change of a job that lost its race; progress and the end of a run that is no longer the job's; the renewal of a
lease that was fenced."""


class Refusals:
    """How many this process has met, by kind. `on_new` is told of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.on_new: Callable[[str, int], None] = lambda _kind, _times: None

    def note(self, kind: str, times: int = 1) -> None:
        """So many more."""
        if times:
            self.counts[kind] += times
            self.on_new(kind, times)
