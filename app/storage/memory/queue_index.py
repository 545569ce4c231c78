"""The queue index of one process, as simple as can be: the waiting jobs are sorted whenever one asks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from app.domain.ports import SCHEDULER_BELL, Bells
from app.domain.priority import Priority
from app.domain.queueing import Ticket
from app.domain.records import Board, BucketHead, Member, Neighbours, OrderPoint, Place, Waiting
from app.storage.memory.waiting_jobs import Order, WaitingJobs


class MemoryQueueIndex:
    """`QueueIndex` in memory; `lose` does what a FLUSHALL does to the other one."""

    def __init__(self, bells: Bells) -> None:
        self._bells = bells
        self.lose()

    def lose(self) -> None:
        """Forget everything."""
        self._jobs = WaitingJobs()
        self._bands: dict[str, int] = {}
        self._next = WaitingJobs()
        self._touched: set[str] = set()
        self._building: str | None = None
        self._epoch: str | None = None
        self._board: Board | None = None

    async def enqueue(self, tickets: Sequence[Ticket]) -> list[Place]:
        if not tickets:
            return []
        self._jobs.add(tickets)
        if self._building:
            self._next.add(tickets)
            self._touched.update(ticket.job_id for ticket in tickets)
        places = self._order().places()
        await self._bells.ring(SCHEDULER_BELL)
        return [places[ticket.job_id] for ticket in tickets]

    async def dequeue(self, job_ids: Iterable[str]) -> int:
        ids = list(job_ids)
        if self._building:
            self._next.remove(ids)
            self._touched.update(ids)
        return self._jobs.remove(ids)

    async def publish_bands(self, bands: Mapping[str, int]) -> None:
        self._bands = dict(bands)

    async def heads(self) -> list[BucketHead]:
        buckets = self._order().by_bucket()
        return [BucketHead(line[0].bucket_id, b, len(line), (line[0].member,)) for b, line in buckets.items()]

    async def members(self, wanted: Mapping[str, int]) -> dict[str, tuple[Member, ...]]:
        buckets = {line[0].bucket_id: (bucket, line) for bucket, line in self._order().by_bucket().items()}
        return {
            bucket_id: tuple(e.member for e in self._jobs.in_turn(*buckets[bucket_id], n))
            for bucket_id, n in wanted.items()
            if bucket_id in buckets and n > 0
        }

    async def lane(self, now: float, most: int = 64) -> list[Waiting]:
        overdue = [w for w in self._order().waiting if w.member.demand.due <= now]
        return sorted(overdue, key=lambda w: (w.member.demand.due, w.member.job_id))[:most]

    async def find(self, job_ids: Sequence[str]) -> dict[str, Waiting]:
        return {w.member.job_id: w for w in self._order().waiting if w.member.job_id in job_ids}

    async def locate(self, job_ids: Sequence[str]) -> dict[str, Place]:
        places = self._order().places()
        return {job_id: places[job_id] for job_id in job_ids if job_id in places}

    async def listing(self, after: OrderPoint | None, limit: int) -> list[Waiting]:
        return [w for w in self._order().waiting if after is None or w.point > after][:limit]

    async def neighbours(self, priority: Priority, position: int, job_id: str) -> Neighbours:
        return self._order().neighbours(priority, position, job_id)

    async def span(self, priority: Priority, band: int, key: float, n: int) -> list[Member]:
        return self._order().span(priority, band, key, n)

    async def lengths(self) -> dict[Priority, int]:
        classes = [entry.bucket.priority for entry in self._jobs.entries.values()]
        return {priority: classes.count(priority) for priority in Priority}

    async def missing(self, job_ids: Sequence[str]) -> list[str]:
        return [job_id for job_id in job_ids if job_id not in self._jobs.entries]

    async def all_ids(self) -> AsyncIterator[list[str]]:
        if self._jobs.entries:
            yield list(self._jobs.entries)

    async def epoch(self) -> str | None:
        return self._epoch

    async def rebuild(self, tickets: AsyncIterator[list[Ticket]]) -> int:
        """What is touched while the tickets are read is newer than they are."""
        token = self._building = os.urandom(8).hex()
        self._next, self._touched = WaitingJobs(), set()
        async for batch in tickets:
            if self._building != token:
                return 0
            self._next.add(batch, but=self._touched)
        if self._building != token:
            return 0
        self._jobs, self._next = self._next, WaitingJobs()
        self._building, self._epoch = None, token
        await self._bells.ring(SCHEDULER_BELL)
        return len(self._jobs.entries)

    async def publish(self, board: Board) -> None:
        self._board = board

    async def board(self) -> Board | None:
        return self._board

    def _order(self) -> Order:
        return Order(self._jobs, self._bands)
