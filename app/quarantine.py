"""What could not be read: left out by whoever met it, told once, counted, and remembered for a person to find.

One bad document never stops a loop. The store that meets one hands it over here and goes on with the others; the
document itself stays where it is. It is told once a process, however often it is met; whether it is bad is seen anew at
each reading, so that one which was mended is simply there again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger()
REMEMBERED = 10_000
"""Further ones are left out like the others, and told each time they are met."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One bad thing. `kind`: job, node, template, …; `why`: what is wrong with it; `document`: as it was read."""

    kind: str
    id: str
    why: str
    document: Any = None


Keep = Callable[[Sequence[Unreadable]], Awaitable[None]]


class Quarantine:
    """The unreadable things that this process has met. `keep` stores new ones; `on_new` is told the kind of each."""

    def __init__(self, keep: Keep | None = None) -> None:
        self._keep = keep
        self._known: set[tuple[str, str]] = set()
        self._unkept: list[Unreadable] = []
        self.on_new: Callable[[str], None] = lambda _: None

    @property
    def count(self) -> int:
        """How many it has met."""
        return len(self._known)

    async def hold(self, met: Sequence[Unreadable]) -> None:
        """Tell and remember those that are new. Never raises: what cannot be stored now is stored next time."""
        new = [each for each in met if (each.kind, each.id) not in self._known]
        for each in new:
            if len(self._known) < REMEMBERED:
                self._known.add((each.kind, each.id))
                self._unkept.append(each)
            self.on_new(each.kind)
            log.error("document.quarantined", kind=each.kind, id=each.id, why=each.why)
        if self._keep is not None and self._unkept and met:
            unkept, self._unkept = self._unkept, []
            try:
                await self._keep(unkept)
            except Exception as error:  # noqa: BLE001  a note about a fault must not become one
                self._unkept = [*unkept, *self._unkept]
                log.warning("quarantine.not_stored", documents=len(unkept), error=type(error).__name__)


def reason(error: Exception) -> str:
    """What is wrong, short: the error and its words."""
    return f"{type(error).__name__}: {error}"[:500]
