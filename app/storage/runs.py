"""Summaries of finished runs in MongoDB: one small document a run (`run_documents`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any

from app.domain.analytics.needs import Need
from app.domain.records import RunSummary
from app.domain.sizing.kinship import Group
from app.domain.sizing.residuals import TELLING, PastRun
from app.quarantine import Quarantine
from app.storage.failures import PATIENCE, answered
from app.storage.group_commit import GroupedInserts
from app.storage.job_queries import LONG_AGO
from app.storage.mongo import Database, Document
from app.storage.quarantine import Reading
from app.storage.run_documents import (
    COMPLETED,
    KILLED,
    MEASURED,
    NEED,
    PAST,
    need_of,
    past_run,
    summary_document,
    summary_from,
)

BY_TIME = [("finished_at", 1), ("_id", 1)]


class MongoRunStore:
    """`RunStore` over the collection `runs`."""

    def __init__(self, database: Database, patience: float = PATIENCE, *, quarantine: Quarantine | None = None) -> None:
        self._reading = Reading("run", quarantine)
        self._database = database
        self._runs = database["runs"]
        self._inserts = GroupedInserts(self._runs, patience)

    async def insert(self, summary: RunSummary) -> None:
        await self._inserts.insert([summary_document(summary)])

    async def alike(self, group: Group, limit: int = 150) -> list[PastRun]:
        telling = {**group.values, "outcome": {"$in": list(TELLING)}}
        shown = PAST | {"dataset": 1} if group.of_tenant else PAST
        with answered():
            found = await self._runs.find(telling, shown).sort([("finished_at", -1)]).limit(limit).to_list(None)
        return await self._reading.each(found, past_run)

    async def completed_by_node(self) -> dict[str, int]:
        counts: list[Document] = [
            {"$match": {"outcome": COMPLETED}},
            {"$group": {"_id": "$node_id", "runs": {"$sum": 1}}},
        ]
        return {row["_id"]: row["runs"] for row in await self._rows(counts) if row["_id"] is not None}

    async def first_end(self) -> datetime | None:
        with answered():
            first = self._runs.find({"finished_at": {"$gte": LONG_AGO}}, {"finished_at": 1}).sort(BY_TIME[:1]).limit(1)
            found = await first.to_list(1)
        return found[0]["finished_at"] if found else None

    async def ends_by_minute(self, begin: datetime, end: datetime) -> dict[datetime, int]:
        minute = {"$dateTrunc": {"date": "$finished_at", "unit": "minute"}}
        counts: list[Document] = [
            {"$match": _between(begin, end)},
            {"$project": {"_id": 0, "finished_at": 1}},
            {"$group": {"_id": minute, "runs": {"$sum": 1}}},
        ]
        return {row["_id"]: row["runs"] for row in await self._rows(counts)}

    async def ended(self, begin: datetime, end: datetime, batch: int = 500) -> AsyncIterator[list[RunSummary]]:
        cursor = self._runs.find(_between(begin, end)).sort(BY_TIME).batch_size(batch)
        while True:
            with answered():
                found = await cursor.to_list(batch)
            if not found:
                return
            yield await self._reading.each(found, summary_from)

    async def get_many(self, keys: Iterable[str]) -> dict[str, RunSummary]:
        with answered():
            found = await self._runs.find({"_id": {"$in": list(keys)}}).to_list(None)
        return {f"{run.job_id}-{run.run_no}": run for run in await self._reading.each(found, summary_from)}

    async def needs(self, since: datetime, tenant: str | None, limit: int) -> list[Need]:
        wanted = telling_of_memory(since, tenant)
        with answered():
            found = await self._runs.find(wanted, NEED).sort([("finished_at", -1)]).limit(limit).to_list(None)
        return await self._reading.each(reversed(found), need_of)

    async def _rows(self, pipeline: list[Document]) -> list[Document]:
        with answered():
            return [row async for row in self._database.aggregate("runs", pipeline)]


def telling_of_memory(since: datetime, tenant: str | None) -> Document:
    """Runs that tell how well memory was allocated: everyone's, or a tenant's."""
    ended = {"outcome": {"$in": [COMPLETED, KILLED]}, "finished_at": {"$gte": since}}
    own = {} if tenant is None else {"tenant": tenant}
    return {**own, **ended, **MEASURED, "asked.memory_mib": {"$gt": 0}}


def _between(begin: datetime, end: datetime) -> dict[str, Any]:
    return {"finished_at": {"$gte": begin, "$lt": end}}
