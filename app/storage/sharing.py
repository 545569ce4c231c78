"""Things that are used by one at a time, given in turn: whoever waits gets one before anybody gets two."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Of one event loop. Those that ask under one name wait behind each other."""

    def __init__(self, things: Iterable[T]) -> None:
        self._free = list(things)
        self._waiting: OrderedDict[str, deque[asyncio.Future[T]]] = OrderedDict()

    @asynccontextmanager
    async def one(self, whose: str) -> AsyncIterator[T]:
        """One of them, for as long as the context lasts."""
        thing = await self._taken(whose)
        try:
            yield thing
        finally:
            self._give(thing)

    async def _taken(self, whose: str) -> T:
        if self._free:
            return self._free.pop()
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(whose, deque()).append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._give(turn.result())
            raise

    def _give(self, thing: T) -> None:
        while self._waiting:
            whose, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[whose] = turns
            if not turn.done():
                turn.set_result(thing)
                return
        self._free.append(thing)
