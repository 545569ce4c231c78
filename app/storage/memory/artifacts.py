"""Artifacts in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path

from app.domain.errors import NotFound
from app.domain.records import ArtifactInfo
from app.storage.files import BLOCK, checked_blocks, newest_by_name


class MemoryArtifactStore:
    """`ArtifactStore`."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str, str, int], tuple[ArtifactInfo, bytes]] = {}

    async def put(self, info: ArtifactInfo, source: Path) -> None:
        content = b"".join([block async for block in checked_blocks(info, source)])
        self._stored[info.job_id, info.kind, info.name, info.run_no] = info, content

    async def list(self, job_id: str, kind: str = "artifact") -> list[ArtifactInfo]:
        return newest_by_name(i for i, _ in self._stored.values() if (i.job_id, i.kind) == (job_id, kind))

    async def get(self, job_id: str, name: str, kind: str = "artifact") -> ArtifactInfo | None:
        return next((info for info in await self.list(job_id, kind) if info.name == name), None)

    async def read(self, info: ArtifactInfo, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        found = self._stored.get((info.job_id, info.kind, info.name, info.run_no))
        if found is None or (stop is not None and found[0].sha256 != info.sha256):
            raise NotFound("artifact", info.name)
        part = found[1][start:stop]
        for begin in range(0, len(part), BLOCK):
            yield part[begin : begin + BLOCK]

    async def delete_of(self, job_ids: Sequence[str], kind: str | None = None) -> None:
        gone = {key for key in self._stored if key[0] in job_ids and kind in (None, key[1])}
        self._stored = {key: kept for key, kept in self._stored.items() if key not in gone}

    async def owners(self, after: str, limit: int) -> Sequence[str]:
        return sorted({key[0] for key in self._stored if key[0] > after})[:limit]

    async def delete_unfinished(self, before: datetime, limit: int) -> int:
        """Here nothing is ever half stored."""
        del before, limit
        return 0
