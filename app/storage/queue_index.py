"""The priority queues in Redis: an index that can be rebuilt, and from which nothing is decided alone.

`lua/structures.lua` describes the structures. Every change is one script over all of them, so that they never disagree,
and every question about places is one script, so that its answer is of one moment. Concurrent enqueues are gathered
into few calls. Scores are doubles and travel as text with 17 significant digits, which loses nothing.

A rebuild builds beside the live index and replaces it in one step. What the live index was told in the meantime is
newer than what was read from the store, so the swap takes it over: neither a job that came nor one that left is lost.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import orjson
import structlog
from redis.asyncio import Redis

from app.domain.errors import Unavailable
from app.domain.ports import SCHEDULER_BELL
from app.domain.priority import Priority
from app.domain.queueing import Bucket, Ticket
from app.domain.records import Board, BucketHead, Member, Place
from app.quarantine import Quarantine, Unreadable, reason
from app.storage.bells import channel_of
from app.storage.board import decode_board, encode_board
from app.storage.gatherer import Gatherer
from app.storage.lua import Argument, Scripts, answer
from app.storage.redis import call, of_wrong_type
from app.storage.shapes import check_amounts

log = structlog.get_logger()
T = TypeVar("T")

CHUNK = 1_000
"""Jobs in one call: 10 to 20 ms of the server's time, in which it answers nobody else."""
ABANDONED_MILLISECONDS = 60_000
"""A rebuild that is silent for so long has lost its process."""
SUPERSEDED = -1
STRUCTURES = (*(f"{name}:{p.value}" for name in "qo" for p in Priority), "bucket", "at", "epoch", "token", "touched")
"""All keys of an index but those of its buckets."""


class RedisQueueIndex:
    """`QueueIndex` over Redis. Every call raises `Unavailable` while Redis is away."""

    def __init__(self, redis: Redis, namespace: str, quarantine: Quarantine | None = None) -> None:
        self._quarantine = quarantine or Quarantine()
        self._redis = redis
        self._namespace = namespace
        self._bell = channel_of(namespace, SCHEDULER_BELL)
        self._scripts = Scripts(redis, namespace)
        self._entering = Gatherer(self._enqueue, CHUNK)

    async def enqueue(self, tickets: Sequence[Ticket]) -> list[Place]:
        """Places are of the moment in which the ticket's call was carried out, with all tickets of that call in."""
        return await self._entering.add(tickets)

    async def _enqueue(self, tickets: list[Ticket]) -> list[Place]:
        return [_place(found) for found in await self._run("enqueue", [self._bell, *_arguments(tickets)])]

    async def dequeue(self, job_ids: Iterable[str]) -> int:
        return sum([int(await self._run("dequeue", chunk)) for chunk in _chunks(job_ids)])

    async def heads(self) -> list[BucketHead]:
        """Those that can be read. Where the index is not as it must be, it is given up: it is only derived."""
        agree, found = await self._run("heads")
        heads: list[BucketHead] = []
        bad: list[Unreadable] = []
        for parts in found:
            try:
                heads.append(_head(*parts))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                bad.append(Unreadable("bucket", repr(parts[0])[:200], reason(error), parts))
        await self._quarantine.hold(bad)
        if bad or not agree:
            await self._give_up("a bucket cannot be read" if bad else "its structures disagree")
        return heads

    async def _run(self, script: str, arguments: Sequence[Argument] = ()) -> Any:
        """A script that meets what no script of ours has left there gives the index up."""
        try:
            return await self._scripts.run(script, arguments)
        except Unavailable as error:
            if of_wrong_type(error):
                await self._give_up(str(error.__cause__))
            raise

    async def _give_up(self, why: str) -> None:
        """Throw away everything, whatever it is. The epoch goes too, so it is built anew from the store."""
        log.error("queue_index.given_up", why=why)
        found = [key async for key in self._redis.scan_iter(match=self._key("b", "*"), count=CHUNK)]
        for space in (self._namespace, self._key("next")):
            found += [f"{space}:{name}" for name in STRUCTURES]
        for keys in _chunks(found):
            await answer(self._redis.unlink(*keys))

    async def members(self, wanted: Mapping[str, int]) -> dict[str, tuple[Member, ...]]:
        """Buckets without members are left out."""
        asked = [(bucket, n) for bucket, n in wanted.items() if n > 0]
        pipe = self._redis.pipeline(transaction=False)
        for bucket, n in asked:
            pipe.zrange(self._key("b", bucket), 0, n - 1, withscores=True)
        found = await call(pipe.execute())
        pairs = zip((bucket for bucket, _ in asked), found, strict=True)
        return {bucket: tuple(_member(job, key) for job, key in members) for bucket, members in pairs if members}

    async def locate(self, job_ids: Sequence[str]) -> dict[str, Place]:
        places = {}
        for chunk in _chunks(job_ids):
            found = await self._run("locate", chunk)
            places.update({job: _place(place) for job, place in zip(chunk, found, strict=True) if place})
        return places

    async def listing(self, offset: int, limit: int) -> list[Member]:
        return [_member(job, key) for job, key in await self._run("listing", [offset, limit])]

    async def lengths(self) -> dict[Priority, int]:
        """All four classes, zeros included."""
        pipe = self._redis.pipeline(transaction=False)
        for priority in Priority:
            pipe.zcard(self._key("q", priority.value))
        return dict(zip(Priority, await call(pipe.execute()), strict=True))

    async def missing(self, job_ids: Sequence[str]) -> list[str]:
        absent = []
        for chunk in _chunks(job_ids):
            found = await answer(self._redis.hmget(self._key("at"), chunk))
            absent += [job for job, at in zip(chunk, found, strict=True) if at is None]
        return absent

    async def all_ids(self) -> AsyncIterator[list[str]]:
        """Every job that is there from beginning to end; one may come twice, one that moves meanwhile may not come."""
        cursor = 0
        while True:
            cursor, found = await answer(self._redis.hscan(self._key("at"), cursor, count=CHUNK))
            if found:
                yield [job.decode() for job in found]
            if cursor == 0:
                return

    async def epoch(self) -> str | None:
        found = await self._text("epoch")
        return None if found is None else found.decode(errors="replace")

    async def rebuild(self, tickets: AsyncIterator[list[Ticket]]) -> int:
        """0 and no new epoch when another rebuild took over, or Redis lost its data again meanwhile."""
        token = os.urandom(8).hex()
        lease: list[Argument] = [token, ABANDONED_MILLISECONDS]
        await self._scripts.run("rebuild_begin", lease)
        async for batch in tickets:
            for chunk in _chunks(batch):
                if await self._scripts.run("rebuild_add", [*lease, *_arguments(chunk)]) == SUPERSEDED:
                    return _superseded()
        indexed = int(await self._scripts.run("rebuild_swap", [token, self._bell]))
        return _superseded() if indexed == SUPERSEDED else indexed

    async def publish(self, board: Board) -> None:
        await answer(self._redis.set(self._key("board"), encode_board(board)))

    async def board(self) -> Board | None:
        found = await self._text("board")
        return None if found is None else decode_board(found)

    async def _text(self, name: str) -> bytes | None:
        """None as well for what is of another type: it will be written over."""
        try:
            found: bytes | None = await answer(self._redis.get(self._key(name)))
        except Unavailable as error:
            if of_wrong_type(error):
                return None
            raise
        return found

    def _key(self, *parts: str) -> str:
        return ":".join((self._namespace, *parts))


def _superseded() -> int:
    log.warning("queue_index.rebuild_superseded")
    return 0


def _arguments(tickets: Sequence[Ticket]) -> list[Argument]:
    """The distinct buckets, then the tickets, as `add_tickets` in `structures.lua` reads them."""
    numbers: dict[Bucket, int] = {}
    rows: list[Argument] = []
    for ticket in tickets:
        number = numbers.setdefault(ticket.bucket, len(numbers) + 1)
        rows += (ticket.job_id, _score(ticket.key), _score(ticket.submitted), number)
    buckets: list[Argument] = []
    for bucket in numbers:
        buckets += (bucket.id, bucket.priority.value, orjson.dumps(bucket.parts()))
    return [len(numbers), *buckets, *rows]


def _score(value: float) -> str:
    return f"{value:.17g}"


def _place(found: tuple[int, int, int, bytes]) -> Place:
    position, class_position, place, bucket = found
    return Place(position, class_position, place, bucket.decode())


def _head(bucket: bytes, parts: bytes, count: int, job: bytes, key: bytes) -> BucketHead:
    """Raises for what no ticket can have made."""
    found = Bucket.from_parts(orjson.loads(parts))
    check_amounts(found.vector.parts())
    if found.id != bucket.decode():
        raise ValueError("the parts are not those of the bucket")
    return BucketHead(found.id, found, count, (_member(job, key),))


def _member(job: bytes, key: bytes | float) -> Member:
    """What is no text stands for no job, and is removed as such."""
    return Member(job.decode(errors="replace"), float(key))


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
