"""A bell being listened to, for the adapters of `Bells`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class EventWaker:
    """Any number of rings since the last wait are one; a ring before the wait is not lost."""

    def __init__(self) -> None:
        self._rang = asyncio.Event()

    def wake(self) -> None:
        self._rang.set()

    async def wait(self, timeout: float) -> bool:
        """True when it rang, False after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._rang.wait()
        except TimeoutError:
            return False
        self._rang.clear()
        return True


class Listeners:
    """Who listens to which bell in this process."""

    def __init__(self) -> None:
        self._by_name: defaultdict[str, set[EventWaker]] = defaultdict(set)

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def names(self) -> list[str]:
        return list(self._by_name)

    @contextmanager
    def listening(self, name: str) -> Iterator[EventWaker]:
        waker = EventWaker()
        self._by_name[name].add(waker)
        try:
            yield waker
        finally:
            self._by_name[name].discard(waker)
            if not self._by_name[name]:
                del self._by_name[name]

    def wake(self, name: str) -> None:
        for waker in self._by_name.get(name, ()):
            waker.wake()

    def wake_all(self) -> None:
        for name in self._by_name:
            self.wake(name)
