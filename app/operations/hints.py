"""What a use-case does beyond its durable change: a moment is waited for it, then the caller goes on without.

A store may be away, which is known at once, or silent, which is not. What a hint was to say, the reconciler says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import structlog

from app.domain.errors import Unavailable

log = structlog.get_logger()
T = TypeVar("T")
HINT_SECONDS = 1.0


async def hinted(name: str, hint: Awaitable[T]) -> T | None:
    """What was answered, or None when that was not in time, or a failure: those are logged, and never raised."""
    try:
        async with asyncio.timeout(HINT_SECONDS):
            return await hint
    except TimeoutError:
        log.warning("hint.silent", hint=name, store="unknown", seconds=HINT_SECONDS)
    except Unavailable as error:
        log.warning("hint.postponed", hint=name, store=error.store)
    except Exception:
        log.exception("hint.failed", hint=name)
    return None
