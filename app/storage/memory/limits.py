"""Places in limits in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from app.domain.limits import Held, Place, batch_of


class MemoryLimitStore:
    """`LimitStore`."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, str]] = defaultdict(dict)

    async def take(self, job_id: str, sizes: Mapping[str, int], token: str) -> bool:
        batches = {name: size for name, size in sizes.items() if batch_of(name) is not None}
        named = {name: size for name, size in sizes.items() if name not in batches}
        return all(self._take(job_id, part, token) for part in (batches, named))

    def _take(self, job_id: str, sizes: Mapping[str, int], token: str) -> bool:
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

    async def held(self, names: Collection[str] | None = None) -> Held:
        wanted = self._held if names is None else names
        return {name: dict(self._held[name]) for name in list(wanted) if self._held[name]}

    async def forget_empty(self) -> None:
        for name in [name for name, holders in self._held.items() if not holders]:
            del self._held[name]
