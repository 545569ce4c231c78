"""Places in named limits in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from app.domain.limits import Held, Place


class MemoryLimitStore:
    """`LimitStore`."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, str]] = defaultdict(dict)

    async def take(self, job_id: str, sizes: Mapping[str, int], token: str) -> bool:
        if any(job_id not in self._held[name] and len(self._held[name]) >= size for name, size in sizes.items()):
            return False
        for name in sizes:
            self._held[name][job_id] = token
        return True

    async def hold(self, places: Sequence[Place], token: str) -> None:
        for place in places:
            self._held[place.name].setdefault(place.job_id, token)

    async def release(self, places: Sequence[Place]) -> None:
        for place in places:
            held = self._held[place.name]
            if place.token is None or held.get(place.job_id) == place.token:
                held.pop(place.job_id, None)

    async def held(self) -> Held:
        return {name: dict(holders) for name, holders in self._held.items() if holders}
