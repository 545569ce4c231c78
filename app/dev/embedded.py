"""The embedded servers as one service: MongoDB and Valkey in a data directory, on free ports of loopback.

`EmbeddedServers(folder)` starts what it is asked for (a set `MONGODB_URI` or `REDIS_URL` wins: then that one is left
out), holds the folder's lock meanwhile, and keeps the ports of the last start when they are still free. The servers end
with the process, however it ends. `endpoints` tells the addresses once it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from app.dev.machine import DataLock, demand_disk, free_port
from app.dev.mongodb import Mongod
from app.dev.server import EmbeddedServer
from app.dev.valkey import Valkey
from app.lifecycle import Service

MONGODB_PORT = 40017
REDIS_PORT = 40018


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the embedded servers answer. A server that was not asked for has None, "" and 0."""

    mongodb_uri: str | None = None
    mongodb_version: str = ""
    mongodb_port: int = 0
    redis_url: str | None = None
    redis_version: str = ""
    redis_port: int = 0


class EmbeddedServers(Service):
    """MongoDB and Valkey in `folder`. Raises `StartupTrouble`: locked, disk low, not available, failed."""

    def __init__(
        self,
        folder: Path,
        *,
        mongodb: bool = True,
        redis: bool = True,
        preferred_ports: tuple[int, int] = (MONGODB_PORT, REDIS_PORT),
    ) -> None:
        super().__init__("embedded")
        self.folder = folder.resolve()
        self.mongodb: Mongod | None = None
        self.valkey: Valkey | None = None
        self._wanted = (mongodb, redis)
        self._preferred_ports = preferred_ports
        self._lock = DataLock(self.folder)

    @property
    def endpoints(self) -> Endpoints:
        """The addresses; only meaningful while it runs."""
        found = Endpoints()
        if self.mongodb:
            at = self.mongodb
            found = replace(found, mongodb_uri=at.uri, mongodb_version=at.version, mongodb_port=at.port)
        if self.valkey:
            index = self.valkey
            found = replace(found, redis_url=index.url, redis_version=index.version, redis_port=index.port)
        return found

    async def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        demand_disk(self.folder)
        await self._lock.acquire()
        self._choose_ports()
        for server in self._servers():
            server.on_failure(lambda _, error: self._fail(error))
        await asyncio.gather(*(server.start() for server in self._servers()))
        self._remember_ports()

    async def _close(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._servers()))
        self._lock.release()

    def _servers(self) -> Sequence[EmbeddedServer]:
        return [server for server in (self.mongodb, self.valkey) if server is not None]

    def _choose_ports(self) -> None:
        last: dict[str, Any] = {}
        with suppress(OSError, orjson.JSONDecodeError):
            last = orjson.loads((self.folder / "endpoints.json").read_bytes())
        mongodb, redis = self._wanted
        mongodb_port, redis_port = self._preferred_ports
        keep = [self._lock.file]
        if mongodb:
            self.mongodb = Mongod(self.folder / "mongodb", free_port(last.get("mongodb_port") or mongodb_port), keep)
        if redis:
            self.valkey = Valkey(self.folder / "valkey", free_port(last.get("redis_port") or redis_port), keep)

    def _remember_ports(self) -> None:
        (self.folder / "endpoints.json").write_bytes(orjson.dumps(asdict(self.endpoints)))
