"""Numbers of equal names in memory."""

from __future__ import annotations

from collections import Counter


class MemoryNameRegister:
    """`NameRegister`."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    async def claim(self, base: str) -> int:
        self._given[base] += 1
        return self._given[base]
