"""Batches in memory, over the stores of jobs and limits in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from app.clock import Clock
from app.domain.batch_transitions import BatchChange, apply_batch
from app.domain.batches import Batch, BatchPage, BatchQuery, Callback, Counts
from app.domain.job import Control, Job
from app.domain.limits import Place, batch_limit, holds_places, in_turn, limits_of
from app.domain.priority import Priority
from app.domain.records import JobQuery, StoredAnswer
from app.domain.states import JobStatus
from app.storage.memory.jobs import A_DAY, MemoryJobStore
from app.storage.memory.limits import MemoryLimitStore

EVERY = 1 << 30


class MemoryBatchStore:
    """`BatchStore`."""

    def __init__(
        self, jobs: MemoryJobStore, limits: MemoryLimitStore, clock: Clock, answers_kept: timedelta = A_DAY
    ) -> None:
        self._jobs, self._limits, self._clock, self._answers_kept = jobs, limits, clock, answers_kept
        self._batches: dict[str, Batch] = {}
        self._keyed: dict[str, tuple[str, StoredAnswer]] = {}

    async def insert(
        self, batch: Batch, jobs: Sequence[Job], answer: StoredAnswer | None = None
    ) -> StoredAnswer | None:
        if batch.id in self._batches:
            return None
        if answer is not None:
            if (earlier := await self.answer_under(answer.key)) is not None:
                return earlier
            self._keyed[answer.key] = (batch.id, answer)
        self._batches[batch.id] = batch
        name = batch_limit(batch.id)
        for job in jobs:
            await self._jobs.insert(job)
            if holds_places(job) and name in limits_of(job):
                await self._limits.hold([Place(name, job.id)], batch.history[0].op)
        return None

    async def finish_left(self, before: datetime, limit: int) -> int:  # noqa: ARG002 - an insert is one step here
        """Nothing is ever left: an insert is one step here."""
        return 0

    async def answer_under(self, key: str) -> StoredAnswer | None:
        batch_id, answer = self._keyed.get(key, ("", None))
        lives = answer is not None and answer.at >= self._clock.now() - self._answers_kept
        return answer if lives and batch_id in self._batches else None

    async def get(self, batch_id: str) -> Batch | None:
        return self._batches.get(batch_id)

    async def get_many(self, batch_ids: Iterable[str]) -> dict[str, Batch]:
        return {batch_id: self._batches[batch_id] for batch_id in batch_ids if batch_id in self._batches}

    async def commit(self, batch: Batch, change: BatchChange) -> bool:
        stored = self._batches.get(batch.id)
        if stored is None:
            return False
        if stored.seq != change.seq:
            return any(entry.op == change.entry.op for entry in stored.history)
        self._batches[stored.id] = apply_batch(stored, change)
        return True

    async def carried_out(self, batch_id: str, control: Control) -> None:
        batch = self._batches.get(batch_id)
        if batch is not None and batch.control is not None and _same(batch.control, control):
            self._batches[batch_id] = replace(batch, control=None)

    async def record_counts(self, batch: Batch, counts: Counts, at: datetime) -> None:
        stored = self._batches.get(batch.id)
        if stored is not None and stored.seq == batch.seq:
            self._batches[batch.id] = replace(stored, counts=counts, counted_at=at)

    async def record_callback(self, batch_id: str, before: Callback, after: Callback) -> bool:
        batch = self._batches.get(batch_id)
        if batch is None or batch.callback is None:
            return False
        if (batch.callback.seq, batch.callback.tries) != (before.seq, before.tries):
            return False
        self._batches[batch_id] = replace(batch, callback=after)
        return True

    async def find(self, query: BatchQuery) -> BatchPage:
        newest = sorted(self._batches.values(), key=lambda batch: batch.id, reverse=True)
        found = [batch for batch in newest if _matches(batch, query)]
        page = tuple(found[: query.limit])
        return BatchPage(page, page[-1].id if len(found) > query.limit else None)

    async def open(self, limit: int, after: str | None = None) -> list[Batch]:
        found = sorted((b for b in self._batches.values() if not b.ended), key=lambda batch: batch.id)
        return [batch for batch in found if after is None or batch.id > after][:limit]

    async def wishing(self, before: datetime, limit: int) -> list[Batch]:
        wishes = [(batch.control.at, batch.id) for batch in self._batches.values() if batch.control is not None]
        return [self._batches[batch_id] for at, batch_id in sorted(wishes) if at < before][:limit]

    async def callbacks_due(self, now: datetime, limit: int) -> list[Batch]:
        due = [(b.callback.due, b.id) for b in self._batches.values() if b.callback and b.callback.due]
        return [self._batches[batch_id] for at, batch_id in sorted(due) if at <= now][:limit]

    async def counts(self, batch_ids: Iterable[str]) -> dict[str, Counts]:
        return {i: Counts(dict(Counter(job.status for job in await self._of(i)))) for i in batch_ids}

    async def next_waiting(self, batch_id: str, most: int) -> list[str]:
        waiting = in_turn(job for job in await self._of(batch_id) if job.status is JobStatus.SUBMITTED)
        return [job.id for p in Priority for job in [j for j in waiting if j.effective_priority is p][:most]]

    async def first_open(self, batch_ids: Iterable[str]) -> dict[str, str]:
        found = {i: [job for job in await self._of(i) if not job.terminal] for i in batch_ids}
        return {i: min(jobs, key=lambda job: (job.order_key, job.id)).id for i, jobs in found.items() if jobs}

    async def kept(self, batch_ids: Iterable[str], since: datetime) -> set[str]:
        found = [self._batches[i] for i in batch_ids if i in self._batches]
        return {batch.id for batch in found if batch.finished_at is None or batch.finished_at >= since}

    async def _of(self, batch_id: str) -> tuple[Job, ...]:
        return (await self._jobs.find(JobQuery(batch_id=batch_id, limit=EVERY))).jobs


def _same(one: Control, other: Control) -> bool:
    return (one.action, one.at) == (other.action, other.at)


def _matches(batch: Batch, query: BatchQuery) -> bool:
    return (
        (not query.status or batch.status in query.status)
        and (query.kind is None or batch.kind is query.kind)
        and (query.after is None or batch.id < query.after)
    )
