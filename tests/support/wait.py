"""Waiting for a condition, in place of sleeping for a guess."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(
    condition: Callable[[], T | Awaitable[T]], timeout: float = 30, *, every: float = 0.01, message: str = ""
) -> T:
    """Ask `condition` (plain or async) until its answer is true, and give the answer; fail after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        answer = condition()
        value: T = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if loop.time() >= deadline:
            raise AssertionError(
                f"not within {timeout} s: {message or inspect.getsource(condition).strip()}; was {value!r}"
            )
        await asyncio.sleep(every)
