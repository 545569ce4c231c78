"""Waiting for a condition, in place of sleeping for a guess."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
STANDSTILL = 2.0
"""Seconds that one look may take. What is more is no patience used up: the machine stood still."""


async def until(
    condition: Callable[[], T | Awaitable[T]], timeout: float = 60, *, every: float = 0.01, message: str = ""
) -> T:
    """Ask `condition` (plain or async) until its answer is true, and give the answer; fail after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    left = timeout
    while True:
        began = loop.time()
        answer = condition()
        value: T = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if left <= 0:
            raise AssertionError(
                f"not within {timeout} s: {message or inspect.getsource(condition).strip()}; was {value!r}"
            )
        await asyncio.sleep(every)
        left -= min(loop.time() - began, every + STANDSTILL)


async def once_of_three(measure: Callable[[], Awaitable[float]], most: float) -> None:
    """Measure until it is less than `most`, three times at most: a busy machine may stand still for a moment."""
    measured: list[float] = []
    while not measured or measured[-1] >= most:
        assert len(measured) < 3, f"never less than {most}: {measured}"
        measured.append(await measure())
