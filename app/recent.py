"""Reads that may be a moment old, shared by all who want them at the same time.

One load answers every caller that arrives while it runs and until its result is `max_age` seconds old. A value that is
nearly so old, and still asked for, is loaded anew beside: whoever asks often never waits for a load.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
NEARLY = 0.75
"""Share of its greatest age after which a value is loaded anew, if nothing else is said."""


class Recent:
    """A small cache by name: of `most` values, the oldest of which goes first. A failed load is not remembered."""

    def __init__(self, most: int = 1_000, nearly: float = NEARLY) -> None:
        self._values: dict[Hashable, tuple[float, Any]] = {}
        self._loading: dict[Hashable, asyncio.Future[Any]] = {}
        self._most, self._nearly = most, nearly

    async def get(self, name: Hashable, load: Callable[[], Awaitable[T]], max_age: float) -> T:
        """The value under `name`, loaded anew when it is older than `max_age` seconds."""
        asked, value = self._values.get(name, (-math.inf, None))
        age = time.monotonic() - asked
        if age >= self._nearly * max_age:
            loading = self._loading.get(name) or self._load(name, load)
            if age >= max_age:
                value = await asyncio.shield(loading)
        found: T = value
        return found

    def _load(self, name: Hashable, load: Callable[[], Awaitable[Any]]) -> asyncio.Future[Any]:
        loading = self._loading[name] = asyncio.ensure_future(load())
        loading.add_done_callback(partial(self._loaded, name, time.monotonic()))
        return loading

    def _loaded(self, name: Hashable, asked: float, loading: asyncio.Future[Any]) -> None:
        """Keep the value, unless it was to be forgotten meanwhile. Who waits for it learns why there is none."""
        failed = loading.cancelled() or loading.exception() is not None
        if self._loading.get(name) is not loading:
            return
        del self._loading[name]
        if failed:
            return
        self._values.pop(name, None)
        self._values[name] = asked, loading.result()
        if len(self._values) > self._most:
            del self._values[next(iter(self._values))]

    def forget(self, name: Hashable) -> None:
        """The next one who asks under `name` has it loaded anew."""
        self._values.pop(name, None)
        self._loading.pop(name, None)


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
