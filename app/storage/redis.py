"""The connection to Redis or Valkey: bounded waits, no retries, one error.

Redis holds only what can be rebuilt, so a call that fails is not repeated here: whoever called goes on without it and
the reconciler makes it good. Every wait has a bound: for a connection of the pool, for connecting, for an answer.

Everything that is asked of Redis goes through `call`. It makes every fault of Redis `Unavailable("Redis")`, the one
error that callers know; and it keeps cancellation away from redis-py, which is not safe against it: of 3,000 pings that
were cancelled at random moments, 52 swallowed the cancellation and their tasks went on, and some broke a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError, ResponseError

from app.domain.errors import Unavailable
from app.storage.observing import ObservedRedis, StoreObserver

log = structlog.get_logger()
T = TypeVar("T")

CONNECTIONS = 32
POOL_SECONDS = 2
CONNECT_SECONDS = 2
ANSWER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What server this is. `product`: Redis or Valkey."""

    product: str
    version: str
    maxmemory_policy: str

    @property
    def evicts(self) -> bool:
        """Whether it throws keys away when memory is full, which would lose part of the index without a trace."""
        return self.maxmemory_policy != "noeviction"


def namespace_of(database: str) -> str:
    """What the keys and channels of an installation begin with: those that share a Redis differ in their database."""
    return f"tf:{database}"


def connect(url: str, observer: StoreObserver | None = None) -> Redis:
    """A client for `redis://`, `rediss://` or `unix://`; `observer` is told of every command. Nothing is sent before
    the first call."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=POOL_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        **({} if url.startswith("unix") else {"socket_keepalive": True}),
    )
    client = ObservedRedis(connection_pool=pool)
    client.auto_close_connection_pool = True
    client.observer = observer
    return client


async def call(operation: Awaitable[T]) -> T:
    """Carry out one operation. A caller that is cancelled leaves at once; the operation comes to its end without it.

    Raises `Unavailable` where it was not answered, or refused; a refusal is logged with its words.
    """
    try:
        return await asyncio.shield(operation)
    except ResponseError as error:
        log.error("redis.refused", error=str(error))
        raise Unavailable("Redis") from error
    except (RedisError, OSError) as error:
        raise Unavailable("Redis") from error


def of_wrong_type(error: Unavailable) -> bool:
    """Whether a key that was asked for holds another type of value than ours do: somebody else has written it."""
    return isinstance(error.__cause__, ResponseError) and "WRONGTYPE" in str(error.__cause__)


async def facts(redis: Redis) -> RedisFacts:
    """Ask the server what it is, and warn when it is set to evict. Raises Unavailable."""
    info = await call(redis.info("everything"))
    valkey = info.get("valkey_version")
    version = str(valkey or info["redis_version"])
    found = RedisFacts("Valkey" if valkey else "Redis", version, str(info.get("maxmemory_policy", "noeviction")))
    if found.evicts:
        log.warning(
            "redis.evicts",
            maxmemory_policy=found.maxmemory_policy,
            remedy="set maxmemory-policy to noeviction: parts of the queue index vanish when memory is full",
        )
    return found
