"""The jobs of a new batch on their way into the collection of jobs.

    batch_parts: {_id: "batch_…:0003", batch_id, at, jobs: [<one document each, as bytes>]}

1. The jobs are written as parts, a few hundred documents for ten thousand of them, with no index but their own.
2. The record of the batch is inserted, with the answer under its key: from here on the batch exists, whole.
3. The jobs are copied out of the parts. An id that is there already was copied before, so that any process may go on
   with what another left; until the last is there, none is shown (`whole_batches`).
4. The record says that it is laid out, and the parts go.

A process that dies before the second step leaves parts that nobody misses; the store drops them in time. One
transaction over all of it was tried first: ten thousand jobs with their index entries do not fit the cache of a small
MongoDB, and a killed process leaves its key locked for a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne
from pymongo.errors import BulkWriteError

from app.domain.errors import FieldError, Invalid
from app.domain.job import Job
from app.storage.documents import job_document
from app.storage.failures import PATIENCE, answered, not_storable, unstorable, until_answered
from app.storage.group_commit import DUPLICATE
from app.storage.mongo import Database

PART_JOBS, PART_BYTES = 250, 4 << 20
"""Most of a part."""
TURN = 25
"""Jobs that are encoded before others get their turn: a millisecond."""
ABREAST = 3
JOB_BYTES = 15 << 20
"""A job's document grows with its history; a sixteenth of what the store takes is left for that."""


class Layout:
    """Parts and jobs."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._parts, self._jobs, self._patience = database["batch_parts"], database["jobs"], patience

    async def stage(self, batch_id: str, jobs: Sequence[Job], at: datetime) -> list[list[bytes]]:
        """Write the parts; what they hold. Raises Invalid for a job that cannot be stored, naming its place; then none
        stays."""
        parts: list[list[bytes]] = []

        async def write(part: list[bytes]) -> None:
            document = {"_id": f"{batch_id}:{len(parts):05d}", "batch_id": batch_id, "at": at, "jobs": part}
            parts.append(part)
            await self._insert(self._parts, [document])

        try:
            await _abreast(_parts(jobs), write)
        except Invalid:
            await self.drop(batch_id)
            raise
        return parts

    async def copy(self, batch_id: str, parts: Iterable[list[bytes]] | None = None) -> None:
        """Have every job of the parts be there; without them, of those that are stored."""
        if parts is not None:
            await _abreast(_each(parts), self._copy)
            return
        async for stored in self._stored(batch_id):
            await self._copy(stored)

    async def _copy(self, part: Iterable[bytes]) -> None:
        await self._insert(self._jobs, [RawBSONDocument(job) for job in part])

    async def _stored(self, batch_id: str) -> AsyncIterator[list[bytes]]:
        wanted = {"_id": {"$gte": f"{batch_id}:", "$lt": f"{batch_id};"}}
        cursor = self._parts.find(wanted).sort([("_id", 1)]).batch_size(1)
        while True:
            with answered():
                found = await cursor.to_list(1)
            if not found:
                return
            yield [bytes(job) for job in found[0]["jobs"]]

    async def drop(self, batch_id: str) -> None:
        """The parts are needed no more."""
        wanted = {"_id": {"$gte": f"{batch_id}:", "$lt": f"{batch_id};"}}
        await until_answered(lambda: self._parts.delete_many(wanted), self._patience)

    async def _insert(self, collection: Any, documents: Sequence[Any]) -> None:
        """What is there already stays as it is."""
        requests = [InsertOne(document) for document in documents]
        try:
            await until_answered(lambda: collection.bulk_write(requests, ordered=False), self._patience)
        except BulkWriteError as error:
            if any(each["code"] != DUPLICATE for each in (error.details or {})["writeErrors"]):
                raise


async def _each(parts: Iterable[list[bytes]]) -> AsyncIterator[list[bytes]]:
    for part in parts:
        yield part


async def _abreast(parts: AsyncIterator[list[bytes]], do: Callable[[list[bytes]], Awaitable[None]]) -> None:
    """`do` it with each part, so many at once that the next are made while the store works on the last ones."""
    doing: set[asyncio.Future[None]] = set()
    try:
        async for part in parts:
            doing.add(asyncio.ensure_future(do(part)))
            patience = None if len(doing) >= ABREAST else 0
            done, doing = await asyncio.wait(doing, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        await asyncio.gather(*doing)
    finally:
        for each in doing:
            each.cancel()
        await asyncio.gather(*doing, return_exceptions=True)


async def _parts(jobs: Sequence[Job]) -> AsyncIterator[list[bytes]]:
    """The jobs as documents, so many together as a part may hold; others get their turn meanwhile."""
    part: list[bytes] = []
    size = 0
    for n, job in enumerate(jobs):
        encoded = _encoded(n, job)
        if part and (len(part) == PART_JOBS or size + len(encoded) > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(encoded)
        size += len(encoded)
        if n % TURN == TURN - 1:
            await asyncio.sleep(0)
    if part:
        yield part


def _encoded(n: int, job: Job) -> bytes:
    try:
        encoded = bson.encode(job_document(job))
    except Exception as error:
        if not unstorable(error):
            raise
        raise _unstorable(n, not_storable(error).errors[0].message) from error
    if len(encoded) > JOB_BYTES:
        raise _unstorable(n, f"the job has {len(encoded) >> 20} MiB; at most {JOB_BYTES >> 20} MiB can be stored")
    return encoded


def _unstorable(n: int, why: str) -> Invalid:
    return Invalid([FieldError(f"jobs[{n}]", why)], "not_storable")
