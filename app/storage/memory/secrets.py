"""Secrets in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from app.domain.secrets import Sealed


class MemorySecretStore:
    """`SecretStore`."""

    def __init__(self) -> None:
        self._sealed: dict[str, Sealed] = {}

    async def put(self, sealed: Sealed) -> None:
        self._sealed.setdefault(sealed.id, sealed)

    async def get(self, sealed_id: str) -> Mapping[str, str] | None:
        found = self._sealed.get(sealed_id)
        return None if found is None else dict(found.values)

    async def delete(self, sealed_ids: Iterable[str]) -> None:
        for sealed_id in sealed_ids:
            self._sealed.pop(sealed_id, None)

    async def delete_of(self, owners: Sequence[str]) -> None:
        await self.delete([sealed.id for sealed in self._sealed.values() if sealed.owner in set(owners)])

    async def older(self, before: datetime, after: str, limit: int) -> list[tuple[str, str]]:
        found = sorted(s.id for s in self._sealed.values() if s.at < before and s.id > after)
        return [(sealed_id, self._sealed[sealed_id].owner) for sealed_id in found[:limit]]
