"""Bells over Redis' publish and subscribe: hints that something changed, which may be lost.

A process has one subscribed connection for all its bells, opened with the first listener and closed with the last. It
re-opens by itself; since rings may have been missed while it was away, every listener is then woken once. A connection
that is silent is asked for a sign of life, so that a half-open one is noticed within `SILENCE + PONG` seconds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from app.domain.errors import Unavailable
from app.domain.ports import Waker
from app.storage.lua import answer
from app.storage.waker import Listeners

log = structlog.get_logger()

SILENCE = 15.0
PONG = 5.0
RING_SECONDS = 1.0
"""Longest wait for a ring to be taken: who rings has more to do than to wait for a silent Redis."""
PATIENCE = 2.0
"""Seconds that a new listener waits for its subscription; then it goes on without, and gets it with the connection."""
BACKOFF = (0.05, 0.1, 0.2, 0.5, 1.0)


def channel_of(namespace: str, name: str) -> str:
    """The channel of a bell."""
    return f"{namespace}:bell:{name}"


class RedisBells:
    """`Bells` over Redis."""

    def __init__(self, redis: Redis, namespace: str) -> None:
        self._redis = redis
        self._prefix = channel_of(namespace, "")
        self._listeners = Listeners()
        self._ear: _Ear | None = None

    async def ring(self, name: str) -> None:
        try:
            async with asyncio.timeout(RING_SECONDS):
                await answer(self._redis.publish(self._prefix + name, ""))
        except (Unavailable, TimeoutError):
            log.debug("bell.silent", bell=name)

    @asynccontextmanager
    async def listen(self, name: str) -> AsyncIterator[Waker]:
        """Rings from here on are heard, unless Redis is away."""
        try:
            with self._listeners.listening(name) as waker:
                if self._ear is None:
                    self._ear = _Ear(self._redis, self._prefix, self._listeners)
                await self._ear.attend(name)
                yield waker
        finally:
            await self._close_unheard()

    async def _close_unheard(self) -> None:
        ear = self._ear
        if ear is not None and not self._listeners:
            self._ear = None
            await ear.close()


class _Ear:
    """The subscribed connection. Its own task alone touches it; another task that wants it to look up rings its bell.

    After each message it subscribes to what is listened to now and unsubscribes from the rest.
    """

    def __init__(self, redis: Redis, prefix: str, listeners: Listeners) -> None:
        self._redis = redis
        self._prefix = prefix
        self._listeners = listeners
        self._own = f"ear:{os.urandom(8).hex()}"
        self._asked: set[str] = set()
        self._confirmed: set[str] = set()
        self._news = asyncio.Condition()
        self._closing = False
        self._task = asyncio.create_task(self._stay_connected(), name="bells")

    async def attend(self, name: str) -> None:
        """Have the bell subscribed to, and wait a little until that is confirmed."""
        if name not in self._confirmed:
            with suppress(Unavailable):
                await answer(self._redis.publish(self._prefix + self._own, ""))
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(lambda: name in self._confirmed)

    async def close(self) -> None:
        """Cancel until it ends: redis-py may swallow that, and then the next look at `_closing` ends it."""
        self._closing = True
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.5)

    async def _stay_connected(self) -> None:
        failures = 0
        while not self._closing:
            try:
                await self._listen(returned=failures > 0)
            except (RedisError, OSError) as error:
                failures = 1 if self._confirmed else failures + 1
                if failures == 1:
                    log.warning("bells.disconnected", error=repr(error))
            except Exception:
                failures += 1
                log.exception("bells.failed")
            finally:
                self._asked.clear()
                self._confirmed.clear()
            await asyncio.sleep(BACKOFF[min(failures, len(BACKOFF)) - 1])

    async def _listen(self, *, returned: bool) -> None:
        """Hear until closed; a connection that breaks raises."""
        async with self._redis.pubsub() as subscription:
            await self._adapt(subscription)
            if returned:
                log.info("bells.reconnected")
                self._listeners.wake_all()
            while not self._closing:
                message = await subscription.get_message(timeout=SILENCE)
                await self._hear(message or await self._sign_of_life(subscription))
                await self._adapt(subscription)

    async def _adapt(self, subscription: PubSub) -> None:
        wanted = {self._own, *self._listeners.names()}
        new, old = wanted - self._asked, self._asked - wanted
        self._asked = wanted
        self._confirmed -= old
        if new:
            await subscription.subscribe(*(self._prefix + name for name in new))
        if old:
            await subscription.unsubscribe(*(self._prefix + name for name in old))

    async def _sign_of_life(self, subscription: PubSub) -> Mapping[str, Any]:
        await subscription.ping()
        message: Mapping[str, Any] | None = await subscription.get_message(timeout=PONG)
        if message is None:
            raise TimeoutError("the subscribed connection is silent")
        return message

    async def _hear(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "pong":
            return
        name = message["channel"].decode().removeprefix(self._prefix)
        if message["type"] == "message":
            self._listeners.wake(name)
        elif message["type"] == "subscribe" and name in self._asked:
            async with self._news:
                self._confirmed.add(name)
                self._news.notify_all()
