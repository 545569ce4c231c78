"""Doing what must be done, as long as a store is away: try again with growing pauses until it is answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from app.domain.errors import Unavailable

log = structlog.get_logger()
T = TypeVar("T")
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
chance = random.SystemRandom().random
"""A number in [0, 1), for decisions that are spread by chance."""


async def until_answered(what: str, act: Callable[[], Awaitable[T]], say: Callable[[str], None] | None = None) -> T:
    """The answer of `act`, which must be idempotent. Ends only with an answer, another error, or its cancellation.
    `say`: told each new cause of waiting, once."""
    pause, said = FIRST_PAUSE, set[str]()
    while True:
        try:
            return await act()
        except Unavailable as error:
            why = _why(error)
            log.warning("store.away", doing=what, store=error.store, why=why, again_in=pause)
            cause = error.store if why is None else f"{error.store} ({why})"
            if say is not None and cause not in said:
                said.add(cause)
                say(f"waiting for {cause}; tried again until it answers")
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 2)


def _why(error: Unavailable) -> str | None:
    """What the store, or the folder that is one, said: a full disk is not a network that is cut."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return None if cause is None else type(cause).__name__
