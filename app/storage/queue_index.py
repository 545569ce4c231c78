"""The priority queues in Redis: an index that can be rebuilt, and from which nothing is decided alone.

`lua/structures.lua` describes the structures, `lua/order.lua` how the order is read from them. Every change is one
script over all of them, so that they never disagree, and every question about places is one script, so that its answer
is of one moment. Concurrent enqueues are gathered into few calls.

A rebuild builds beside the live index and replaces it in one step. What the live index is told in the meantime is told
to the new one too, and is newer than what is read from the store: neither a job that came nor one that left is lost.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis

from app.domain.errors import Unavailable
from app.domain.ports import SCHEDULER_BELL
from app.domain.priority import PATIENCE, Priority
from app.domain.queueing import Ticket
from app.domain.records import Board, BucketHead, Member, Neighbours, OrderPoint, Place, Waiting
from app.quarantine import Quarantine, Unreadable, reason
from app.storage.bells import channel_of
from app.storage.board import decode_board, encode_board
from app.storage.gatherer import Gatherer
from app.storage.lua import Argument, Scripts, answer
from app.storage.queue_rows import (
    MALFORMED,
    REMEMBERED,
    arguments,
    head_from,
    member_from,
    place_from,
    score,
    waiting_from,
)
from app.storage.redis import of_wrong_type

log = structlog.get_logger()
T = TypeVar("T")

CHUNK = 1_000
"""Jobs in one call: 10 to 20 ms of the server's time, in which it answers nobody else."""
ABANDONED_MILLISECONDS = 60_000
"""A rebuild that is silent for so long has lost its process."""
SUPERSEDED = -1
STRUCTURES = (
    *(f"{name}:{p.value}" for name in ("o", "queues") for p in Priority),
    *("at", "band", "bucket", "cursor", "epoch", "home", "made", "token", "touched", "waiting"),
)
"""All keys of an index but those of its queues and buckets."""
BEFORE_ALL = OrderPoint(-1, 0, 0.0, "")


class RedisQueueIndex:
    """`QueueIndex` over Redis. Every call raises `Unavailable` while Redis is away."""

    def __init__(self, redis: Redis, namespace: str, quarantine: Quarantine | None = None) -> None:
        self._quarantine = quarantine or Quarantine()
        self._redis = redis
        self._namespace = namespace
        self._bell = channel_of(namespace, SCHEDULER_BELL)
        self._scripts = Scripts(redis, namespace)
        self._entering = Gatherer(self._enqueue, CHUNK)
        self._parts: dict[bytes, bytes] = {}

    async def enqueue(self, tickets: Sequence[Ticket]) -> list[Place]:
        """Places are of the moment in which the ticket's call was carried out, with all tickets of that call in."""
        return await self._entering.add(tickets)

    async def _enqueue(self, tickets: list[Ticket]) -> list[Place]:
        return [place_from(*found) for found in await self._run("enqueue", [self._bell, *arguments(tickets)])]

    async def dequeue(self, job_ids: Iterable[str]) -> int:
        return sum([int(await self._run("dequeue", chunk)) for chunk in _chunks(job_ids)])

    async def publish_bands(self, bands: Mapping[str, int]) -> None:
        await self._run("bands", [part for tenant, band in bands.items() if band for part in (tenant, band)])

    async def heads(self) -> list[BucketHead]:
        """Those that can be read. Where the index is not as it must be, it is given up: it is only derived."""
        agree, *found = await self._run("heads")
        rows = list(zip(*[iter(found)] * 5, strict=True))
        parts = await self._parts_of([bucket for bucket, *_ in rows])
        known = [(bucket, parts[bucket], *head) for bucket, *head in rows if bucket in parts]
        heads = await self._readable("bucket", known, head_from)
        if not agree and len(heads) == len(known):
            await self._give_up("its structures disagree")
        return heads

    async def _parts_of(self, buckets: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Of these buckets, but of those that have vanished. Remembered: an id is a digest, so they never change."""
        if len(self._parts) > REMEMBERED:
            self._parts.clear()
        for chunk in _chunks(bucket for bucket in buckets if bucket not in self._parts):
            found = await answer(self._redis.hmget(self._key("bucket"), chunk))
            self._parts.update({bucket: parts for bucket, parts in zip(chunk, found, strict=True) if parts is not None})
        return self._parts

    async def _run(self, script: str, arguments: Sequence[Argument] = ()) -> Any:
        """A script that meets what no script of ours has left there gives the index up."""
        try:
            return await self._scripts.run(script, arguments)
        except Unavailable as error:
            if of_wrong_type(error):
                await self._give_up(str(error.__cause__))
            raise

    async def _readable(self, kind: str, found: Sequence[Any], read: Callable[..., T]) -> list[T]:
        """Those answers that can be read. With one that cannot, the index is given up."""
        good: list[T] = []
        bad: list[Unreadable] = []
        for parts in found:
            try:
                good.append(read(*parts))
            except MALFORMED as error:
                bad.append(Unreadable(kind, repr(parts[0])[:200], reason(error), parts))
        if bad:
            await self._quarantine.hold(bad)
            await self._give_up(f"a {kind} cannot be read")
        return good

    async def _give_up(self, why: str) -> None:
        """Throw away everything, whatever it is. The epoch goes too, so it is built anew from the store."""
        self._parts.clear()
        log.error("queue_index.given_up", why=why)
        for space in (self._namespace, self._key("next")):
            found = [f"{space}:{name}" for name in STRUCTURES]
            found += [key async for key in self._redis.scan_iter(match=f"{space}:[bq]:*", count=CHUNK)]
            for keys in _chunks(found):
                await answer(self._redis.unlink(*keys))

    async def members(self, wanted: Mapping[str, int]) -> dict[str, tuple[Member, ...]]:
        """Buckets without members are left out."""
        asked = [bucket for bucket, n in wanted.items() if n > 0]
        found = await self._run("members", [part for bucket in asked for part in (bucket, wanted[bucket])])
        read = {
            b: await self._readable("member", members, member_from) for b, members in zip(asked, found, strict=True)
        }
        return {bucket: tuple(members) for bucket, members in read.items() if members}

    async def lane(self, now: float, most: int = 64) -> list[Waiting]:
        return await self._waiting("lane", [score(now), most, *(PATIENCE[p] for p in Priority)])

    async def find(self, job_ids: Sequence[str]) -> dict[str, Waiting]:
        found = [w for chunk in _chunks(job_ids) for w in await self._waiting("find", chunk)]
        return {w.member.job_id: w for w in found}

    async def listing(self, after: OrderPoint | None, limit: int) -> list[Waiting]:
        """Costs O(queues · log² n + limit), a queue being what waits of one tenant in one class."""
        point = after or BEFORE_ALL
        return await self._waiting("listing", [limit, point.rank, point.band, score(point.key), point.job_id])

    async def _waiting(self, script: str, arguments: Sequence[Argument]) -> list[Waiting]:
        return await self._readable("ticket", await self._run(script, arguments), waiting_from)

    async def locate(self, job_ids: Sequence[str]) -> dict[str, Place]:
        """Each costs O(queues of its class · log n)."""
        places = {}
        for chunk in _chunks(job_ids):
            found = await self._run("locate", chunk)
            places.update({job: place_from(*place) for job, place in zip(chunk, found, strict=True) if place})
        return places

    async def neighbours(self, priority: Priority, position: int, job_id: str) -> Neighbours:
        """Costs O(queues · log² n)."""
        found: tuple[bytes | None, bytes | None, int, int]
        found = await self._run("neighbours", [priority.value, position, job_id])
        before, after, band, length = found
        return Neighbours(_key_from(before), _key_from(after), band, length)

    async def span(self, priority: Priority, band: int, key: float, n: int) -> list[Member]:
        found = await self._run("span", [priority.value, band, score(key), n])
        return await self._readable("member", found, member_from)

    async def lengths(self) -> dict[Priority, int]:
        found = await answer(self._redis.hmget(self._key("waiting"), [p.value for p in Priority]))
        return {p: int(count or 0) for p, count in zip(Priority, found, strict=True)}

    async def missing(self, job_ids: Sequence[str]) -> list[str]:
        return [job.decode() for chunk in _chunks(job_ids) for job in await self._run("missing", chunk)]

    async def all_ids(self) -> AsyncIterator[list[str]]:
        """Every job that is there from beginning to end; one may come twice, one that moves meanwhile may not come."""
        for priority in Priority:
            cursor = 0
            while True:
                key = self._key("o", priority.value)
                cursor, found = await answer(self._redis.zscan(key, cursor, count=CHUNK))
                if found:
                    yield [job.decode() for job, _ in found]
                if cursor == 0:
                    break

    async def epoch(self) -> str | None:
        found = await self._text("epoch")
        return None if found is None else found.decode(errors="replace")

    async def rebuild(self, tickets: AsyncIterator[list[Ticket]]) -> int:
        """0 and no new epoch when another rebuild took over, or Redis lost its data again meanwhile."""
        token = os.urandom(8).hex()
        lease: list[Argument] = [token, ABANDONED_MILLISECONDS]
        await self._run("rebuild_begin", lease)
        async for batch in tickets:
            for chunk in _chunks(batch):
                if await self._run("rebuild_add", [*lease, *arguments(chunk)]) == SUPERSEDED:
                    return _superseded()
        indexed = int(await self._run("rebuild_swap", [token, self._bell]))
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


def _key_from(found: bytes | None) -> float | None:
    return None if found is None else float(found)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
