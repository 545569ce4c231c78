"""Batches in MongoDB. A batch and its jobs are one transaction: thousands of documents, and no reader sees a part.

The document of the batch, which carries the key of the submit, is written last: it is locked only for the moment until
the commit. Documents are made and sent a few at a time, so that the process does other things meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.domain.batch_transitions import BatchChange
from app.domain.batches import Batch, BatchPage, BatchQuery, Callback, Counts
from app.domain.errors import Unavailable
from app.domain.job import Control, Job
from app.domain.limits import batch_limit, holds_places, limits_of
from app.domain.priority import Priority
from app.domain.records import StoredAnswer
from app.domain.states import JobStatus
from app.quarantine import Quarantine
from app.storage import batch_queries
from app.storage.batch_documents import (
    batch_document,
    batch_from,
    change_update,
    counts_document,
    field_document,
    last_document,
)
from app.storage.documents import job_document
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.group_commit import DUPLICATE
from app.storage.job_queries import LONG_AGO
from app.storage.keyed import BARE, Keyed
from app.storage.limits import place_document
from app.storage.mongo import Database, Document
from app.storage.quarantine import Reading
from app.storage.transactions import in_transaction

CHUNK = 200
"""Jobs in one statement: to encode them holds the process for some milliseconds."""
LONGEST = 45.0
"""Seconds for a whole batch; the server itself ends a transaction after sixty."""


class MongoBatchStore:
    """`BatchStore` over the collections `batches` and `jobs`."""

    def __init__(
        self,
        database: Database,
        patience: float = PATIENCE,
        *,
        quarantine: Quarantine | None = None,
        answers_kept: timedelta = timedelta(days=1),
    ) -> None:
        self._reading = Reading("batch", quarantine)
        self._database, self._patience = database, patience
        self._batches, self._jobs, self._limits = database["batches"], database["jobs"], database["limits"]
        self._keyed = Keyed(self._batches, answers_kept, patience)

    async def insert(
        self, batch: Batch, jobs: Sequence[Job], answer: StoredAnswer | None = None
    ) -> StoredAnswer | None:
        async def insert_all(document: Document) -> bool:
            return await self._insert_all(document, batch, jobs)

        try:
            async with asyncio.timeout(LONGEST):
                if answer is not None:
                    return await self._keyed.insert(batch_document(batch), answer, insert_all)
                await insert_all(batch_document(batch))
        except TimeoutError as error:
            raise Unavailable("MongoDB") from error
        return None

    async def _insert_all(self, document: Document, batch: Batch, jobs: Sequence[Job]) -> bool:
        """False where the key is taken, or all is there from a sending before."""

        async def work(session: Any) -> None:
            for part in _in_chunks(jobs):
                await self._jobs.insert_many([job_document(job) for job in part], session=session)
            if holders := _first_holders(batch, jobs):
                first = place_document(batch.id, holders, batch.history[0].op)
                await self._limits.insert_one(first, session=session)
            await self._batches.insert_one(document, session=session)

        try:
            await in_transaction(self._database, work, self._patience)
        except DuplicateKeyError:
            return False
        except BulkWriteError as error:
            if all(each["code"] == DUPLICATE for each in (error.details or {})["writeErrors"]):
                return False
            raise
        return True

    async def answer_under(self, key: str) -> StoredAnswer | None:
        return await self._keyed.answer(key)

    async def get(self, batch_id: str) -> Batch | None:
        return (await self.get_many([batch_id])).get(batch_id)

    async def get_many(self, batch_ids: Iterable[str]) -> dict[str, Batch]:
        return {batch.id: batch for batch in await self._find({"_id": {"$in": list(batch_ids)}}, [], 0)}

    async def commit(self, batch: Batch, change: BatchChange) -> bool:
        guard, update = {"_id": change.batch_id, "seq": change.seq}, change_update(batch, change)
        result = await until_answered(lambda: self._batches.update_one(guard, update), self._patience)
        return bool(result.matched_count) or await self._is_made(change)

    async def _is_made(self, change: BatchChange) -> bool:
        with answered():
            made = {"_id": change.batch_id, "history.op": change.entry.op}
            return await self._batches.find_one(made, {"_id": 1}) is not None

    async def carried_out(self, batch_id: str, control: Control) -> None:
        same = {"_id": batch_id, "control.action": control.action, "control.at": control.at}
        await until_answered(lambda: self._batches.update_one(same, {"$set": {"control": None}}), self._patience)

    async def record_counts(self, batch: Batch, counts: Counts, at: datetime) -> None:
        known = replace(batch, counts=counts, counted_at=at)
        fields = {"counts": counts_document(counts), "counted_at": at, "last": last_document(known)}
        guard = {"_id": batch.id, "seq": batch.seq}
        await until_answered(lambda: self._batches.update_one(guard, {"$set": fields}), self._patience)

    async def record_callback(self, batch_id: str, before: Callback, after: Callback) -> bool:
        same = {"_id": batch_id, "callback.seq": before.seq, "callback.tries": before.tries}
        update = {"$set": {"callback": field_document("callback", after)}}
        result = await until_answered(lambda: self._batches.update_one(same, update), self._patience)
        return bool(result.matched_count)

    async def find(self, query: BatchQuery) -> BatchPage:
        wanted = batch_queries.matching(query)
        batches = await self._find(wanted, [("_id", -1)], query.limit + 1)
        page = tuple(batches[: query.limit])
        return BatchPage(page, page[-1].id if len(batches) > query.limit else None)

    async def open(self, limit: int, after: str | None = None) -> list[Batch]:
        return await self._find(batch_queries.open_batches(after), [("_id", 1)], limit)

    async def wishing(self, before: datetime, limit: int) -> list[Batch]:
        return await self._find({"control.at": {"$lt": before, "$gte": LONG_AGO}}, [("control.at", 1)], limit)

    async def callbacks_due(self, now: datetime, limit: int) -> list[Batch]:
        return await self._find({"callback.due": {"$lte": now, "$gte": LONG_AGO}}, [("callback.due", 1)], limit)

    async def counts(self, batch_ids: Iterable[str]) -> dict[str, Counts]:
        wanted = list(batch_ids)
        found: dict[str, dict[JobStatus, int]] = {batch_id: {} for batch_id in wanted}
        with answered():
            async for row in self._database.aggregate("jobs", batch_queries.counts(wanted), hint=batch_queries.INDEX):
                found[row["_id"]["batch"]][JobStatus(row["_id"]["status"])] = row["jobs"]
        return {batch_id: Counts(states) for batch_id, states in found.items()}

    async def next_waiting(self, batch_id: str, most: int) -> list[str]:
        by_class = [batch_queries.waiting(batch_id, priority) for priority in Priority]
        found = await asyncio.gather(*(self._ids(each, most) for each in by_class))
        return [job_id for ids in found for job_id in ids]

    async def first_open(self, batch_ids: Iterable[str]) -> dict[str, str]:
        wanted = list(batch_ids)
        found = await asyncio.gather(*(self._ids(batch_queries.open_jobs(batch_id), 1) for batch_id in wanted))
        return {batch_id: ids[0] for batch_id, ids in zip(wanted, found, strict=True) if ids}

    async def of_open(self, job_ids: Iterable[str]) -> set[str]:
        members = {"_id": {"$in": list(job_ids)}, "batch_id": {"$type": "string"}}
        with answered():
            found = await self._jobs.find(members, {"batch_id": 1}).to_list(None)
            batches = {d["batch_id"] for d in found}
            still_open = {"_id": {"$in": sorted(batches)}, "status": {"$in": batch_queries.OPEN_BATCHES}}
            ids = (
                {d["_id"] for d in await self._batches.find(still_open, {"_id": 1}).to_list(None)} if batches else set()
            )
        return {d["_id"] for d in found if d["batch_id"] in ids}

    async def _ids(self, wanted: Document, most: int) -> list[str]:
        with answered():
            cursor = self._jobs.find(wanted, {"_id": 1}).sort(batch_queries.IN_ORDER).limit(most)
            return [d["_id"] for d in await cursor.to_list(None)]

    async def _find(self, wanted: Document, order: Sequence[tuple[str, int]], limit: int) -> list[Batch]:
        cursor = self._batches.find(wanted, BARE)
        if order:
            cursor = cursor.sort(order)
        with answered():
            found = await cursor.limit(limit).to_list(None)
        return await self._reading.each(found, batch_from)


def _in_chunks(jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
    return (jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK))


def _first_holders(batch: Batch, jobs: Sequence[Job]) -> list[str]:
    """The jobs that begin with a place in the batch."""
    name = batch_limit(batch.id)
    return [job.id for job in jobs if holds_places(job) and name in limits_of(job)]
