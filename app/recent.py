"""Reads that may be a moment old, shared by all who want them at the same time.

One load answers every caller that arrives while it runs and until its result is `max_age` seconds old.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Recent:
    """A small cache by name: of `most` values, the oldest of which goes first. A failed load is not remembered."""

    def __init__(self, most: int = 1_000) -> None:
        self._values: dict[Hashable, tuple[float, asyncio.Future[Any]]] = {}
        self._most = most

    async def get(self, name: Hashable, load: Callable[[], Awaitable[T]], max_age: float) -> T:
        """The value under `name`, loaded anew when it is older than `max_age` seconds."""
        known = self._values.get(name)
        if known is not None and (not known[1].done() or time.monotonic() - known[0] < max_age):
            found: T = known[1].result() if known[1].done() else await asyncio.shield(known[1])
            return found
        future = asyncio.ensure_future(load())
        self._values.pop(name, None)
        self._values[name] = (time.monotonic(), future)
        if len(self._values) > self._most:
            del self._values[next(iter(self._values))]
        try:
            return await asyncio.shield(future)
        except Exception:
            if self._values.get(name, (0, None))[1] is future:
                del self._values[name]
            raise

    def forget(self, name: Hashable) -> None:
        """The next one who asks under `name` has it loaded anew."""
        self._values.pop(name, None)


class Snapshots:
    """The last packed snapshots of this process's cycles, by the id of their decision: at most so many, and so many
    bytes."""

    def __init__(self, most: int = 200, bytes_most: int = 64 << 20) -> None:
        self._kept: dict[str, bytes] = {}
        self._most, self._bytes_most, self._bytes = most, bytes_most, 0

    def keep(self, decision_id: str, snapshot: bytes) -> None:
        """Remember one more, and forget the oldest."""
        self._bytes += len(snapshot) - len(self._kept.pop(decision_id, b""))
        self._kept[decision_id] = snapshot
        while len(self._kept) > self._most or self._bytes > self._bytes_most:
            self._bytes -= len(self._kept.pop(next(iter(self._kept))))

    def get(self, decision_id: str) -> bytes | None:
        return self._kept.get(decision_id)
