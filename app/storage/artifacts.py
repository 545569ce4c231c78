"""Artifacts in GridFS: any node can read them, and no further service is needed.

GridFS writes the chunks of a file first and its entry last: a file is visible only when it is whole. The entry carries
what an `ArtifactInfo` says as `metadata`; names are opaque. A file that was sent twice (the answer was lost) is there
twice for a moment: the newest counts, and the older one is deleted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from bson import ObjectId
from gridfs.errors import CorruptGridFile, NoFile
from pymongo.errors import PyMongoError

from app.domain.errors import NotFound
from app.domain.records import ArtifactInfo
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.files import checked_blocks, newest_by_name
from app.storage.mongo import Database, Document, settled

BUCKET = "artifacts"
BLOCK = 1 << 20
DELETED_AT_ONCE = 20
FIRST = ObjectId("0" * 24)
"""Before every file."""


class GridFsArtifactStore:
    """`ArtifactStore` over the bucket `artifacts`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._files = database[f"{BUCKET}.files"]
        self._chunks = database[f"{BUCKET}.chunks"]
        self._bucket = database.bucket(BUCKET)
        self._place = FIRST
        self._patience = patience

    async def put(self, info: ArtifactInfo, source: Path) -> None:
        """See the port. Raises Invalid when the file is not what `info` says, Unavailable."""
        stored = await until_answered(lambda: self._upload(info, source), self._patience)
        with answered():
            same = await self._files.find({**_run_file(info), "_id": {"$ne": stored}}, {"_id": 1}).to_list(None)
            for earlier in same:
                await self._bucket.delete(earlier["_id"])

    async def _upload(self, info: ArtifactInfo, source: Path) -> Any:
        """Send the whole file; the id of its entry."""
        file = self._bucket.open_upload_stream(info.name, metadata=_metadata(info))
        try:
            async for block in checked_blocks(info, source):
                await file.write(block)
            await file.close()
        except BaseException:
            # Chunks that cannot be deleted now belong to no entry: nobody sees them.
            with suppress(PyMongoError):
                await file.abort()
            raise
        return file._id

    async def list(self, job_id: str, kind: str = "artifact") -> list[ArtifactInfo]:
        """By name."""
        wanted = {"metadata.job_id": job_id, "metadata.kind": kind}
        with answered():
            found = await self._files.find(wanted).sort([("uploadDate", 1), ("_id", 1)]).to_list(None)
        return newest_by_name(_info(d) for d in found)

    async def get(self, job_id: str, name: str, kind: str = "artifact") -> ArtifactInfo | None:
        return next((info for info in await self.list(job_id, kind) if info.name == name), None)

    async def read(self, info: ArtifactInfo, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """See the port."""
        with answered():
            file, block = await self._begin(info, start, stop)
            at = start
            while block:
                yield block
                at += len(block)
                block = await file.read(_so_many(at, stop))

    async def _begin(self, info: ArtifactInfo, start: int, stop: int | None) -> tuple[Any, bytes]:
        """The newest file and its first block. One that cannot be had was replaced since it was found, and another is
        the newest now, or it is broken."""
        tried, wanted = None, _run_file(info) if stop is None else _run_file(info) | {"metadata.sha256": info.sha256}
        while True:
            found = await self._files.find(wanted, {"_id": 1}).sort([("_id", -1)]).limit(1).to_list(None)
            if not found:
                raise NotFound("artifact", info.name)
            [newest] = found
            try:
                file = await self._bucket.open_download_stream(newest["_id"])
                await settled(file.seek(start))
                return file, await file.read(_so_many(start, stop))
            except (NoFile, CorruptGridFile):
                if newest == tried:
                    raise
                tried = newest

    async def delete_of(self, job_ids: Sequence[str], kind: str | None = None) -> None:
        """Entries go first, then their chunks: what a crash leaves between is unfinished, and found as such."""
        wanted = {"metadata.job_id": {"$in": list(job_ids)}, **({} if kind is None else {"metadata.kind": kind})}
        with answered():
            found = await self._files.find(wanted, {"_id": 1}).to_list(None)
        await self._delete([d["_id"] for d in found])

    async def owners(self, after: str, limit: int) -> Sequence[str]:
        wanted = {"metadata.job_id": {"$gt": after}}
        files = self._files.find(wanted, {"metadata.job_id": 1, "_id": 0}).sort([("metadata.job_id", 1)]).limit(limit)
        with answered():
            return list(dict.fromkeys([d["metadata"]["job_id"] for d in await files.to_list(None)]))

    async def delete_unfinished(self, before: datetime, limit: int) -> int:
        """A file's id tells when its upload began."""
        begun = {"$gt": self._place, "$lt": ObjectId.from_datetime(before)}
        firsts = self._chunks.find({"files_id": begun, "n": 0}, {"files_id": 1, "_id": 0})
        with answered():
            chunks = await firsts.sort([("files_id", 1), ("n", 1)]).limit(limit).to_list(None)
            ids = [chunk["files_id"] for chunk in chunks]
            whole = await self._files.find({"_id": {"$in": ids}}, {"_id": 1}).to_list(None)
        orphans = sorted(set(ids) - {d["_id"] for d in whole})
        await self._delete(orphans)
        self._place = ids[-1] if len(ids) == limit else FIRST
        return len(orphans)

    async def _delete(self, file_ids: Sequence[ObjectId]) -> None:
        """Few at a time: the chunks of many files are more than one command should delete."""
        for start in range(0, len(file_ids), DELETED_AT_ONCE):
            some = list(file_ids[start : start + DELETED_AT_ONCE])
            await until_answered(partial(self._files.delete_many, {"_id": {"$in": some}}), self._patience)
            await until_answered(partial(self._chunks.delete_many, {"files_id": {"$in": some}}), self._patience)


def _so_many(at: int, stop: int | None) -> int:
    """Bytes of the next block."""
    return BLOCK if stop is None else min(BLOCK, stop - at)


def _metadata(info: ArtifactInfo) -> Document:
    return {
        "job_id": info.job_id,
        "run_no": info.run_no,
        "name": info.name,
        "kind": info.kind,
        "sha256": info.sha256,
        "content_type": info.content_type,
        "stored_at": info.stored_at,
    }


def _run_file(info: ArtifactInfo) -> Document:
    """What finds this file of this run."""
    return {f"metadata.{name}": getattr(info, name) for name in ("job_id", "kind", "name", "run_no")}


def _info(d: Mapping[str, Any]) -> ArtifactInfo:
    return ArtifactInfo(size=d["length"], **d["metadata"])
