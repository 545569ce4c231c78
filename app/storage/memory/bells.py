"""Bells within one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.domain.ports import Waker
from app.storage.waker import Listeners


class MemoryBells:
    """`Bells` in memory."""

    def __init__(self) -> None:
        self._listeners = Listeners()

    async def ring(self, name: str) -> None:
        self._listeners.wake(name)

    @asynccontextmanager
    async def listen(self, name: str) -> AsyncIterator[Waker]:
        with self._listeners.listening(name) as waker:
            yield waker
