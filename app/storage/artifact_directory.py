"""Artifacts in a directory that all nodes share (NFS, a mounted volume).

    {root}/{job_id}/{kind}/{sha256}                               the bytes
    {root}/{job_id}/{kind}/{run_no}-{digest of the name}.json     the ArtifactInfo

Names are opaque, so they never become part of a path. Both files are written beside their place and renamed, the bytes
first: only what has a description is visible, and a description always names bytes that are whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import orjson

from app.domain.errors import NotFound, Unavailable
from app.domain.ids import is_object_id
from app.domain.records import ArtifactInfo
from app.storage.files import BLOCK, checked_blocks, newest_by_name, to_its_end


class DirectoryArtifactStore:
    """`ArtifactStore` over a folder. Raises Unavailable where the folder fails: a share that is away, a full disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._place = ""

    async def put(self, info: ArtifactInfo, source: Path) -> None:
        """See the port. Raises Invalid when the file is not what `info` says."""
        folder = self._folder(info.job_id, info.kind)
        if folder is None:
            raise NotFound("job", info.job_id)
        with _reachable():
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        part = folder / f".{os.urandom(8).hex()}.part"
        try:
            await _copy(checked_blocks(info, source), part)
            with _reachable():
                await to_its_end(lambda: _publish(info, part, folder))
        finally:
            with _reachable():
                await asyncio.to_thread(part.unlink, missing_ok=True)

    async def list(self, job_id: str, kind: str = "artifact") -> list[ArtifactInfo]:
        """By name."""
        folder = self._folder(job_id, kind)
        if folder is None:
            return []
        with _reachable():
            return newest_by_name(await asyncio.to_thread(_described, folder))

    async def get(self, job_id: str, name: str, kind: str = "artifact") -> ArtifactInfo | None:
        return next((info for info in await self.list(job_id, kind) if info.name == name), None)

    async def read(self, info: ArtifactInfo, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """See the port."""
        with await self._open(info, exactly=stop is not None) as file:
            at = file.seek(start)
            while block := await _next_block(file, BLOCK if stop is None else min(BLOCK, stop - at)):
                at += len(block)
                yield block

    async def _open(self, info: ArtifactInfo, *, exactly: bool) -> BinaryIO:
        """These contents; unless `exactly` they are wanted, what has replaced them."""
        folder = self._folder(info.job_id, info.kind)
        try:
            with _reachable():
                return await asyncio.to_thread(_opened, folder and folder / info.sha256)
        except FileNotFoundError:
            newest = None if exactly else await self.get(info.job_id, info.name, info.kind)
        if newest is None or newest.sha256 == info.sha256:
            raise NotFound("artifact", info.name)
        return await self._open(newest, exactly=exactly)

    async def delete_of(self, job_ids: Sequence[str], kind: str | None = None) -> None:
        with _reachable():
            for job_id in filter(is_object_id, job_ids):
                await asyncio.to_thread(_remove, self._root / job_id / (kind or ""))

    async def owners(self, after: str, limit: int) -> Sequence[str]:
        with _reachable():
            return [name for name in await asyncio.to_thread(_jobs_below, self._root) if name > after][:limit]

    async def delete_unfinished(self, before: datetime, limit: int) -> int:
        owners = await self.owners(self._place, limit)
        with _reachable():
            counts = [await asyncio.to_thread(_remove_parts, self._root / job, before.timestamp()) for job in owners]
        self._place = owners[-1] if len(owners) == limit else ""
        return sum(counts)

    def _folder(self, job_id: str, kind: str) -> Path | None:
        """None for what can be no id, and so must not become part of a path."""
        return self._root / job_id / kind if is_object_id(job_id) and is_object_id(kind) else None


@contextmanager
def _reachable() -> Iterator[None]:
    """Raises Unavailable where the folder fails inside; a file that is missing is no failure of the folder."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unavailable("ARTIFACT_DIR") from error


def _description(info: ArtifactInfo) -> str:
    return f"{info.run_no}-{hashlib.sha256(info.name.encode()).hexdigest()}.json"


def _opened(path: Path | None) -> BinaryIO:
    if path is None:
        raise FileNotFoundError
    return path.open("rb")


async def _next_block(file: BinaryIO, most: int) -> bytes:
    with _reachable():
        return await asyncio.to_thread(file.read, most)


async def _copy(blocks: AsyncIterator[bytes], target: Path) -> None:
    """Whole on the disk when it returns. What is wrong with the source is raised as it is."""
    with _reachable():
        descriptor = await asyncio.to_thread(os.open, target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        async for block in blocks:
            with _reachable():
                await asyncio.to_thread(_write_whole, descriptor, block)
        with _reachable():
            await asyncio.to_thread(os.fsync, descriptor)
    finally:
        os.close(descriptor)


def _write_whole(descriptor: int, block: bytes) -> None:
    left = memoryview(block)
    while left:
        left = left[os.write(descriptor, left) :]


def _publish(info: ArtifactInfo, part: Path, folder: Path) -> None:
    """The bytes get their name, then they are described; those that nothing describes any more go at once, since a live
    run stores its checkpoint again and again."""
    place = folder / _description(info)
    before = orjson.loads(place.read_bytes())["sha256"] if place.exists() else info.sha256
    part.replace(folder / info.sha256)
    _describe(info, part, place)
    if before not in {other.sha256 for other in _described(folder)}:
        (folder / before).unlink(missing_ok=True)


def _describe(info: ArtifactInfo, part: Path, place: Path) -> None:
    with part.open("wb") as file:
        file.write(orjson.dumps(asdict(info)))
        file.flush()
        os.fsync(file.fileno())
    part.replace(place)


def _remove(folder: Path) -> None:
    """Descriptions first, so that nothing half deleted is visible."""
    for path in folder.rglob("*.json"):
        path.unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _jobs_below(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if is_object_id(path.name)) if root.exists() else []


def _remove_parts(folder: Path, before: float) -> int:
    """Bytes that no description names, and that have not been touched since `before` (Unix time)."""
    removed = 0
    for kind in folder.iterdir() if folder.exists() else ():
        described = {info.sha256 for info in _described(kind)}
        for path in kind.iterdir():
            if path.suffix != ".json" and path.name not in described and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _described(folder: Path) -> list[ArtifactInfo]:
    infos = (orjson.loads(path.read_bytes()) for path in sorted(folder.glob("*.json")))
    return [ArtifactInfo(**{**d, "stored_at": datetime.fromisoformat(d["stored_at"])}) for d in infos]
