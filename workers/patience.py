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


async def until_answered(what: str, act: Callable[[], Awaitable[T]]) -> T:
    """The answer of `act`, which must be idempotent. Ends only with an answer, another error, or its cancellation."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await act()
        except Unavailable as error:
            log.warning("store.away", doing=what, store=error.store, why=_why(error), again_in=pause)
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 2)


def _why(error: Unavailable) -> str | None:
    """What the store, or the folder that is one, said: a full disk is not a network that is cut."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return None if cause is None else type(cause).__name__
