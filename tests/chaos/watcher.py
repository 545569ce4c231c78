"""Samples of the whole stack while a scenario runs: the node documents, and what its processes and stores hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import psutil
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.storage.feed.cancellation import heed_cancellation
from tests.chaos.moments import boot_time, elapse
from tests.chaos.observation import NodeSample, ResourceSample, node_sample
from tests.chaos.part import Part

NODES_SECONDS = 0.2
RESOURCES_EVERY = 10
"""Samples of nodes between two of resources."""
MEBIBYTE = 1 << 20


class Watcher:
    """Samples until stopped. A store that does not answer is skipped: its faults are part of the scenario."""

    def __init__(self, mongodb_uri: str, database: str, redis_url: str, parts: Callable[[], Iterable[Part]]) -> None:
        self.nodes: list[NodeSample] = []
        self.resources: list[ResourceSample] = []
        self._mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            mongodb_uri, serverSelectionTimeoutMS=500, socketTimeoutMS=1_000, connectTimeoutMS=500
        )
        self._database = database
        self._redis = Redis.from_url(redis_url, socket_timeout=0.5, socket_connect_timeout=0.5)
        self._parts = parts
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """End the sampling with a last look at the nodes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.look_at_nodes()

    async def close(self) -> None:
        """End, also when nobody stopped it."""
        if self._task is not None:
            await self.stop()
        await self._mongo.close()
        await self._redis.aclose()

    async def look_at_nodes(self) -> list[NodeSample]:
        """The nodes as they are now; empty when the store does not answer."""
        with suppress(PyMongoError):
            documents = await self._mongo[self._database]["nodes"].find({"rubbish": {"$ne": True}}).to_list(None)
            now = [node_sample(document, boot_time()) for document in documents]
            self.nodes += now
            return now
        return []

    async def _watch(self) -> None:
        turn = 0
        while True:
            heed_cancellation()
            await self.look_at_nodes()
            if turn % RESOURCES_EVERY == 0:
                await self._look_at_resources()
            turn += 1
            await elapse(NODES_SECONDS)

    async def _look_at_resources(self) -> None:
        at = boot_time()
        for part in self._parts():
            if not part.alive:
                continue
            with suppress(psutil.Error):
                process = psutil.Process(part.process.process.pid)
                self._note(part.name, "memory_mib", at, process.memory_info().rss / MEBIBYTE)
                self._note(part.name, "descriptors", at, process.num_fds())
        with suppress(RedisError):
            self._note("redis", "keys", at, await self._redis.dbsize())
            self._note("redis", "connections", at, (await self._redis.info("clients"))["connected_clients"])
        with suppress(PyMongoError):
            status = await self._mongo.admin.command("serverStatus")
            self._note("mongodb", "connections", at, status["connections"]["current"])

    def _note(self, part: str, kind: str, at: float, value: float) -> None:
        self.resources.append(ResourceSample(part, kind, at, value))
