"""What was said of the starts of waiting jobs, in Redis: a hash beside the index, and a list of those that left the
queue without a start. Lost with its data; the estimates of those jobs are then scored by nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, cast

import orjson
import structlog
from redis.asyncio import Redis

from app.domain.calibration import Announcement
from app.domain.priority import Priority
from app.storage.gatherer import Gatherer
from app.storage.lua import answer
from app.storage.redis import call

log = structlog.get_logger()
CHUNK = 1_000
LONGEST = 100_000
"""Entries of the list beyond which the oldest are dropped: nobody leads."""


class RedisAnnouncements:
    """`Announcements` over Redis."""

    def __init__(self, redis: Redis, namespace: str) -> None:
        self._redis = redis
        self._said, self._left = f"{namespace}:said", f"{namespace}:said:left"
        self._saying = Gatherer(self._say, CHUNK)

    def say(self, job_id: str, announcement: Announcement) -> None:
        self._saying.put((job_id, _encode(announcement))).add_done_callback(_said_or_lost)

    async def _say(self, said: list[tuple[str, bytes]]) -> list[None]:
        await answer(self._redis.hset(self._said, mapping=dict(said)))
        return [None] * len(said)

    async def take(self, job_ids: Sequence[str]) -> dict[str, Announcement]:
        if not job_ids:
            return {}
        pipe = self._redis.pipeline(transaction=True)
        pipe.hmget(self._said, list(job_ids))
        pipe.hdel(self._said, *job_ids)
        found, _ = await call(pipe.execute())
        read = {job: _decode(data) for job, data in zip(job_ids, found, strict=True) if data is not None}
        return {job: said for job, said in read.items() if said is not None}

    async def disturb(self, job_ids: Sequence[str], why: str) -> None:
        found = (await self.take(job_ids)).items()
        again = [(job, _encode(said if said.disturbed else said.because(why))) for job, said in found]
        if again:
            await self._saying.add(again)

    async def leave(self, job_ids: Sequence[str], why: str) -> None:
        gone = [_encode(said.because(why)) for said in (await self.take(job_ids)).values()]
        if gone:
            pipe = self._redis.pipeline(transaction=False)
            pipe.rpush(self._left, *gone)
            pipe.ltrim(self._left, -LONGEST, -1)
            await call(pipe.execute())

    async def left(self) -> list[Announcement]:
        found = cast("list[bytes]", await answer(cast("Awaitable[Any]", self._redis.lpop(self._left, CHUNK))) or [])
        read = [_decode(data) for data in found]
        return [said for said in read if said is not None]


def _said_or_lost(said: asyncio.Future[None]) -> None:
    if not said.cancelled() and (error := said.exception()) is not None:
        log.warning("announcement.lost", error=repr(error))


def _encode(said: Announcement) -> bytes:
    numbers = (said.at, said.start, said.low, said.high, said.naive)
    return orjson.dumps([said.priority, *[round(n, 3) for n in numbers], said.disturbed])


def _decode(data: bytes) -> Announcement | None:
    """None for what is of another shape: the next one is right."""
    try:
        priority, at, start, low, high, naive, disturbed = orjson.loads(data)
        return Announcement(Priority(priority), at, start, low, high, naive, disturbed)
    except (ValueError, TypeError):
        return None
