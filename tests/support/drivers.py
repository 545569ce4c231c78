"""A collection whose answers get lost: before the write is applied, or after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from pymongo.errors import AutoReconnect, WTimeoutError

BEFORE, AFTER, UNCONFIRMED, ANSWERED = "before", "after", "unconfirmed", "answered"
WRITES = frozenset({"bulk_write", "find_one_and_update", "update_one"})


class LosingCollection:
    """A real collection but for its writes: each takes the next fate, and is answered when none is left.

    `sent` holds the first argument of each write.
    """

    def __init__(self, collection: Any, fates: Iterable[str]) -> None:
        self._collection, self._fates = collection, deque(fates)
        self.sent: list[Any] = []

    def lose(self, *fates: str) -> None:
        """Let the next writes meet these."""
        self._fates.extend(fates)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._collection, name)
        if name not in WRITES:
            return found

        async def write(first: Any, *rest: Any, **options: Any) -> Any:
            self.sent.append(first)
            return await self._meet(found, first, *rest, **options)

        return write

    async def _meet(self, write: Any, *arguments: Any, **options: Any) -> Any:
        fate = self._fates.popleft() if self._fates else ANSWERED
        if fate == BEFORE:
            raise AutoReconnect("the connection broke before the write")
        result = await write(*arguments, **options)
        if fate == AFTER:
            raise AutoReconnect("the connection broke after the write")
        if fate == UNCONFIRMED:
            raise WTimeoutError("waiting for replication timed out", 64, {})
        return result
