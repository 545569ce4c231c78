"""Numbers of equal names in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class MemoryNameRegister:
    """`NameRegister`."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    async def claim(self, base: str) -> int:
        self._given[base] += 1
        return self._given[base]

    async def claim_many(self, wanted: Mapping[str, int]) -> dict[str, int]:
        first = {base: self._given[base] + 1 for base in wanted}
        self._given.update(wanted)
        return first
