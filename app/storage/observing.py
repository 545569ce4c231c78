"""How long each operation of a store takes, told to whoever counts. The names of operations are a closed set.

MongoDB's are heard from the driver (Motor calls on threads of its own). What waits by design is no operation: reading
on in a cursor, which a change stream does all the time. A server that is not found fails no command, so the driver's
heartbeats are heard too: they are the operation `connect`.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
    ServerHeartbeatFailedEvent,
    ServerHeartbeatListener,
    ServerHeartbeatStartedEvent,
    ServerHeartbeatSucceededEvent,
)
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisSilent

MONGO, REDIS, CONNECT, OTHER = "mongo", "redis", "connect", "other"
MONGO_OPERATIONS = frozenset({"aggregate", "count", "delete", "find", "findAndModify", "insert", "update"})
WAITS = frozenset({"getMore", "killCursors", "endSessions"})
REDIS_OPERATIONS = {
    "EVALSHA": "script", "EVAL": "script", "SCRIPT LOAD": "script", "HMGET": "read", "HGET": "read", "GET": "read",
    "ZSCAN": "read", "HSCAN": "read", "SCAN": "read", "LPOP": "read", "SET": "write", "HSET": "write",
    "UNLINK": "write", "DEL": "write", "EXPIRE": "write", "PUBLISH": "publish", "PING": "ping", "INFO": "info",
}  # fmt: skip


class StoreObserver(Protocol):
    """Whoever counts. May be called from any thread."""

    def took(self, store: str, operation: str, seconds: float) -> None:
        """An operation that was answered."""

    def failed(self, store: str, operation: str) -> None:
        """An operation that was not answered, or refused."""


class MongoListener(CommandListener, ServerHeartbeatListener):
    """Hears the driver's commands and heartbeats."""

    def __init__(self, observer: StoreObserver) -> None:
        self._observer = observer

    def started(self, event: CommandStartedEvent | ServerHeartbeatStartedEvent) -> None:
        """Nothing is known yet."""

    def succeeded(self, event: CommandSucceededEvent | ServerHeartbeatSucceededEvent) -> None:
        if isinstance(event, CommandSucceededEvent) and event.command_name not in WAITS:
            self._observer.took(MONGO, _named(event.command_name), event.duration_micros / 1e6)

    def failed(self, event: CommandFailedEvent | ServerHeartbeatFailedEvent) -> None:
        name = _named(event.command_name) if isinstance(event, CommandFailedEvent) else CONNECT
        self._observer.failed(MONGO, name)


def _named(command: str) -> str:
    return command if command in MONGO_OPERATIONS else OTHER


class ObservedPipeline(Pipeline):
    """A pipeline whose execution is told."""

    observer: StoreObserver

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        answers: list[Any] = await observed(self.observer, "pipeline", super().execute(raise_on_error))
        return answers


class ObservedRedis(Redis):
    """A client that tells how long commands take, once it has an observer."""

    observer: StoreObserver | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        call = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        if self.observer is None:
            return await call
        return await observed(self.observer, REDIS_OPERATIONS.get(str(args[0]).upper(), OTHER), call)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        if self.observer is None:
            return super().pipeline(transaction, shard_hint)
        made = ObservedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        made.observer = self.observer
        return made


async def observed(observer: StoreObserver, operation: str, call: Any) -> Any:
    """What the call answers. A script that the server has forgotten is no failure: it is sent again."""
    began = time.monotonic()
    try:
        answer = await call
    except NoScriptError:
        raise
    except (RedisError, OSError) as error:
        away = isinstance(error, RedisAway | RedisSilent | OSError)
        observer.failed(REDIS, CONNECT if away else operation)
        raise
    observer.took(REDIS, operation, time.monotonic() - began)
    return answer
