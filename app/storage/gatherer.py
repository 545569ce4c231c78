"""Calls of many tasks, sent together.

What arrives while a call is in flight gathers and goes with the next one; the first goes at once, so that nobody waits
when there is nothing to gather with. Whoever is cancelled while waiting leaves; what was sent for it stays sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Gatherer(Generic[T, R]):
    """Gathers items for `send`, which answers one result per item, in order. At most `limit` items go at once."""

    def __init__(self, send: Callable[[list[T]], Coroutine[Any, Any, Sequence[R]]], limit: int) -> None:
        self._send = send
        self._limit = limit
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._sending: asyncio.Task[None] | None = None

    def put(self, item: T) -> asyncio.Future[R]:
        """The result of this item, to come: what `send` answered, or raised."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, result))
        if self._sending is None:
            self._sending = loop.create_task(self._send_all(), name="gatherer")
        return result

    async def add(self, items: Sequence[T]) -> list[R]:
        """The results of these items. Raises what `send` raised for any of them."""
        results = [self.put(item) for item in items]
        if len(results) == 1:
            return [await results[0]]
        return list(await asyncio.gather(*results))

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                await self._send_next()
        finally:
            self._sending = None

    async def _send_next(self) -> None:
        taken = [self._waiting.popleft() for _ in range(min(self._limit, len(self._waiting)))]
        wanted = [(item, result) for item, result in taken if not result.done()]
        if not wanted:
            return
        try:
            answers = await self._send([item for item, _ in wanted])
        except BaseException as error:
            for _, result in wanted:
                if not result.done():
                    result.cancel() if isinstance(error, asyncio.CancelledError) else result.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, result), answer in zip(wanted, answers, strict=True):
            if not result.done():
                result.set_result(answer)
