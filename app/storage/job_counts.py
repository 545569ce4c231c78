"""How many jobs are where, and for how long: what the store of jobs answers without reading any whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.domain.priority import Priority
from app.domain.records import StateCount
from app.domain.states import JobStatus
from app.storage import job_queries
from app.storage.failures import answered
from app.storage.mongo import Database
from app.storage.quarantine import Reading


class JobCounts:
    """The part of `JobStore` that counts."""

    def __init__(self, database: Database, reading: Reading) -> None:
        self._database, self._reading = database, reading
        self._jobs = database["jobs"]

    async def state_counts(self) -> list[StateCount]:
        with answered():
            rows = [row async for row in self._database.aggregate("jobs", job_queries.STATE_COUNTS)]
        return await self._reading.each(rows, _state_count)

    async def mean_waits(self, since: datetime) -> dict[Priority, float]:
        with answered():
            rows = [row async for row in self._database.aggregate("jobs", job_queries.mean_waits(since))]
        return dict(await self._reading.each(rows, lambda row: (Priority(row["_id"]), row["wait"] / 1000)))

    async def queued_since(self) -> dict[Priority, datetime]:
        found = await asyncio.gather(*(self._queued_since(priority) for priority in Priority))
        return {priority: at for priority, at in zip(Priority, found, strict=True) if at is not None}

    async def _queued_since(self, priority: Priority) -> datetime | None:
        """The first key of an index."""
        wanted = job_queries.queued_of(priority)
        with answered():
            first = await self._jobs.find(wanted, {"queued_at": 1}).sort([("queued_at", 1)]).limit(1).to_list(1)
        return first[0]["queued_at"] if first else None

    async def not_eligible(self, now: datetime) -> dict[str, int]:
        with answered():
            rows = [row async for row in self._database.aggregate("jobs", job_queries.not_eligible(now))]
        return {row["_id"]: row["jobs"] for row in rows}


def _state_count(row: Mapping[str, Any]) -> StateCount:
    status, priority = JobStatus(row["_id"]["status"]), Priority(row["_id"]["class"])
    return StateCount(status, priority, row["jobs"], row["oldest"], max(0.0, row["wait"] / 1000))
