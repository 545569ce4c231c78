"""The queue index of one process, as simple as can be: a dictionary, sorted whenever it is asked."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from app.domain.ports import SCHEDULER_BELL, Bells
from app.domain.priority import Priority
from app.domain.queueing import Ticket, main_order
from app.domain.records import Board, BucketHead, Member, Place


class MemoryQueueIndex:
    """`QueueIndex` in memory; `lose` does what a FLUSHALL does to the other one."""

    def __init__(self, bells: Bells) -> None:
        self._bells = bells
        self._tickets: dict[str, Ticket] = {}
        self._touched: set[str] = set()
        self._building: str | None = None
        self._epoch: str | None = None
        self._board: Board | None = None

    def lose(self) -> None:
        """Forget everything."""
        self._tickets, self._building, self._epoch, self._board = {}, None, None, None

    async def enqueue(self, tickets: Sequence[Ticket]) -> list[Place]:
        if not tickets:
            return []
        self._tickets.update({ticket.job_id: ticket for ticket in tickets})
        self._touched.update(ticket.job_id for ticket in tickets)
        places = self._places()
        await self._bells.ring(SCHEDULER_BELL)
        return [places[ticket.job_id] for ticket in tickets]

    async def dequeue(self, job_ids: Iterable[str]) -> int:
        ids = list(job_ids)
        self._touched.update(ids)
        return sum(self._tickets.pop(job_id, None) is not None for job_id in ids)

    async def heads(self) -> list[BucketHead]:
        heads = []
        for bucket, tickets in self._by_bucket().items():
            first = tickets[0]
            heads.append(BucketHead(bucket, first.bucket, len(tickets), (_member(first),)))
        return heads

    async def members(self, wanted: Mapping[str, int]) -> dict[str, tuple[Member, ...]]:
        buckets = self._by_bucket()
        return {
            bucket: tuple(_member(ticket) for ticket in buckets[bucket][:n])
            for bucket, n in wanted.items()
            if bucket in buckets and n > 0
        }

    async def locate(self, job_ids: Sequence[str]) -> dict[str, Place]:
        places = self._places()
        return {job_id: places[job_id] for job_id in job_ids if job_id in places}

    async def listing(self, offset: int, limit: int) -> list[Member]:
        return [_member(ticket) for ticket in self._ordered()[offset : offset + limit]]

    async def lengths(self) -> dict[Priority, int]:
        classes = [ticket.bucket.priority for ticket in self._tickets.values()]
        return {priority: classes.count(priority) for priority in Priority}

    async def missing(self, job_ids: Sequence[str]) -> list[str]:
        return [job_id for job_id in job_ids if job_id not in self._tickets]

    async def all_ids(self) -> AsyncIterator[list[str]]:
        if self._tickets:
            yield list(self._tickets)

    async def epoch(self) -> str | None:
        return self._epoch

    async def rebuild(self, tickets: AsyncIterator[list[Ticket]]) -> int:
        """Jobs touched while the tickets are read stay as they are here."""
        token = self._building = os.urandom(8).hex()
        self._touched.clear()
        read: dict[str, Ticket] = {}
        async for batch in tickets:
            read.update({ticket.job_id: ticket for ticket in batch})
        if self._building != token:
            return 0
        kept = {job_id: ticket for job_id, ticket in self._tickets.items() if job_id in self._touched}
        self._tickets = {job_id: t for job_id, t in read.items() if job_id not in self._touched} | kept
        self._building, self._epoch = None, token
        await self._bells.ring(SCHEDULER_BELL)
        return len(self._tickets)

    async def publish(self, board: Board) -> None:
        self._board = board

    async def board(self) -> Board | None:
        return self._board

    def _ordered(self) -> list[Ticket]:
        return sorted(self._tickets.values(), key=lambda t: main_order(t.bucket, t.key, t.job_id))

    def _by_bucket(self) -> dict[str, list[Ticket]]:
        buckets: dict[str, list[Ticket]] = {}
        for ticket in self._ordered():
            buckets.setdefault(ticket.bucket.id, []).append(ticket)
        return buckets

    def _places(self) -> dict[str, Place]:
        seen_in_class = dict.fromkeys(Priority, 0)
        seen_in_bucket: dict[str, int] = {}
        places = {}
        for position, ticket in enumerate(self._ordered(), 1):
            priority, bucket = ticket.bucket.priority, ticket.bucket.id
            seen_in_class[priority] += 1
            seen_in_bucket[bucket] = seen_in_bucket.get(bucket, 0) + 1
            places[ticket.job_id] = Place(position, seen_in_class[priority], seen_in_bucket[bucket], bucket)
        return places


def _member(ticket: Ticket) -> Member:
    return Member(ticket.job_id, ticket.key)
