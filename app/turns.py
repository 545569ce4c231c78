"""Whose turn it is to advance a workflow in this process: one at a time, with whatever has ended meanwhile.

Ends that come while an advance is under way go with the next one together, so that a fan-out whose jobs end at once
costs a few writes, not one for each. Between processes the guard of the write decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from app.domain.workflows.advance import Ended

T = TypeVar("T")


class Turns:
    """The ends that wait, and the locks, by workflow."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._waiting: dict[str, list[Ended]] = {}
        self._at_work: set[asyncio.Task[Any]] = set()

    def go_on(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have this done, whether or not anybody waits for it."""
        task = asyncio.create_task(work, name="workflow.turn")
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        return task

    def add(self, workflow_id: str, ended: list[Ended]) -> None:
        """Let these wait for the next turn."""
        self._waiting.setdefault(workflow_id, []).extend(ended)

    @asynccontextmanager
    async def turn(self, workflow_id: str) -> AsyncIterator[tuple[Ended, ...]]:
        """The only turn of this workflow here; gives the ends that have waited for it, none when others took them."""
        async with self._locks.setdefault(workflow_id, asyncio.Lock()):
            yield tuple(self._waiting.pop(workflow_id, ()))
