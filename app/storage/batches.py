"""Batches in MongoDB: their records here, their jobs among the others. How both come to be as one tells `layout`.

A batch that is not laid out yet is shown to nobody. Whoever comes with its key finishes it and is answered; the keeper
finishes those for which nobody comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pymongo.errors import DuplicateKeyError

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
    count_from,
    counts_document,
    field_document,
    last_document,
)
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.job_queries import LONG_AGO
from app.storage.kept import kept_ids
from app.storage.keyed import BARE, Keyed
from app.storage.layout import Layout
from app.storage.limits import place_document
from app.storage.mongo import Database, Document
from app.storage.quarantine import Reading

LONGEST = 60.0
"""Seconds for a whole batch, its store's patience included."""
SHOWN: Document = {"laid_out": {"$ne": False}}


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
        self._layout = Layout(database, patience)

    async def insert(
        self, batch: Batch, jobs: Sequence[Job], answer: StoredAnswer | None = None
    ) -> StoredAnswer | None:
        try:
            async with asyncio.timeout(LONGEST):
                return await self._insert_all(batch, jobs, answer)
        except TimeoutError as error:
            raise Unavailable("MongoDB") from error

    async def _insert_all(self, batch: Batch, jobs: Sequence[Job], answer: StoredAnswer | None) -> StoredAnswer | None:
        parts = await self._layout.stage(batch.id, jobs, batch.submitted_at)
        await self._hold_places(batch, jobs)
        document = {**batch_document(batch), "laid_out": not jobs}
        if answer is None:
            await self._insert_one(document)
        elif (earlier := await self._keyed.insert(document, answer, self._insert_one)) is not None:
            await self._layout.drop(batch.id)
            return await self.answer_under(answer.key) or earlier
        if jobs:
            await self._finish(batch.id, parts)
        return None

    async def _insert_one(self, document: Document) -> bool:
        try:
            await until_answered(lambda: self._batches.insert_one(document), self._patience)
        except DuplicateKeyError:
            return False
        return True

    async def _hold_places(self, batch: Batch, jobs: Sequence[Job]) -> None:
        """Of the jobs that begin beyond SUBMITTED. Of a batch that then is not stored the keeper takes them back."""
        name = batch_limit(batch.id)
        if holders := [job.id for job in jobs if holds_places(job) and name in limits_of(job)]:
            first = place_document(batch.id, holders, batch.history[0].op)
            places = {"_id": first.pop("_id")}
            update = {"$setOnInsert": first}
            await until_answered(lambda: self._limits.update_one(places, update, upsert=True), self._patience)

    async def _finish(self, batch_id: str, parts: Iterable[list[bytes]] | None = None) -> None:
        await self._layout.copy(batch_id, parts)
        done, update = {"_id": batch_id, "laid_out": False}, {"$set": {"laid_out": True}}
        await until_answered(lambda: self._batches.update_one(done, update), self._patience)
        await self._layout.drop(batch_id)

    async def finish_left(self, before: datetime, limit: int) -> int:
        left = {"laid_out": False, "submitted_at": {"$lt": before}}
        with answered():
            found = await self._batches.find(left, {"_id": 1}).limit(limit).to_list(None)
        for document in found:
            await self._finish(document["_id"])
        return len(found)

    async def answer_under(self, key: str) -> StoredAnswer | None:
        found = await self._keyed.answer(key)
        if found is not None:
            with answered():
                left = await self._batches.find_one({"keyed.key": key, "laid_out": False}, {"_id": 1})
            if left is not None:
                await self._finish(left["_id"])
        return found

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
        batches = await self._find(batch_queries.matching(query), [("_id", -1)], query.limit + 1)
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
        counted = self._database.aggregate("jobs", batch_queries.counts(wanted), hint=batch_queries.INDEX)
        with answered():
            rows = [row async for row in counted]
        for batch_id, status, jobs in await self._reading.each(rows, count_from):
            found[batch_id][status] = jobs
        return {batch_id: Counts(states) for batch_id, states in found.items()}

    async def next_waiting(self, batch_id: str, most: int) -> list[str]:
        by_class = [batch_queries.waiting(batch_id, priority) for priority in Priority]
        found = await asyncio.gather(*(self._ids(each, most) for each in by_class))
        return [job_id for ids in found for job_id in ids]

    async def first_open(self, batch_ids: Iterable[str]) -> dict[str, str]:
        wanted = list(batch_ids)
        found = await asyncio.gather(*(self._ids(batch_queries.open_jobs(batch_id), 1) for batch_id in wanted))
        return {batch_id: ids[0] for batch_id, ids in zip(wanted, found, strict=True) if ids}

    async def kept(self, batch_ids: Iterable[str], since: datetime) -> set[str]:
        return await kept_ids(self._batches, batch_ids, since)

    async def _ids(self, wanted: Document, most: int) -> list[str]:
        with answered():
            found = self._jobs.find(wanted, {"_id": 1}).hint(batch_queries.INDEX)
            return [d["_id"] for d in await found.sort(batch_queries.IN_ORDER).limit(most).to_list(None)]

    async def _find(self, wanted: Document, order: Sequence[tuple[str, int]], limit: int) -> list[Batch]:
        cursor = self._batches.find({"$and": [wanted, SHOWN]}, BARE)
        if order:
            cursor = cursor.sort(order)
        with answered():
            found: list[dict[str, Any]] = await cursor.limit(limit).to_list(None)
        return await self._reading.each(found, batch_from)
