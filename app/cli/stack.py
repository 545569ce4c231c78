"""Everything on this machine: embedded stores, the API with its scheduler, and workers, each a child process.

The children end with this process, however it ends; `stop` ends workers first, then the API, then the stores. A set
`MONGODB_URI` or `REDIS_URL` wins over the embedded server.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from app.config import Settings
from app.dev.embedded import EmbeddedServers, Endpoints
from app.dev.server import EmbeddedServer
from app.lifecycle import Service, ServiceGroup
from app.program import tensorfleet
from app.providers.local import end_workers
from app.startup import START_REFUSED, TROUBLE_SIGN, StartupTrouble

LOGICAL_POOL = {"NODE_CPU_CORES": "64", "NODE_MEMORY_GB": "256", "NODE_GPU_COUNT": "8", "NODE_STORAGE_GB": "1000"}
"""What a worker of `dev` and `demo` advertises when no capacity is set."""
DEV_GRACES = {"KILL_GRACE_SECONDS": "4", "DRAIN_GRACE_SECONDS": "2"}
"""So that all of it ends within 10 s of SIGTERM."""
URL_FILE = "url"
"""In the data folder while it serves: where."""


class TensorFleetProcess(EmbeddedServer):
    """A `tensorfleet COMMAND` as a child that logs into `directory`.

    Orphaned it is killed, since the stores that it would say goodbye to are ending as well.
    """

    orphan_signal = signal.SIGKILL
    may_move = False

    def __init__(self, directory: Path, port: int, env: Mapping[str, str]) -> None:
        super().__init__(directory, port)
        self._env = env

    @property
    def title(self) -> str:
        return self.program

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self._env}

    def trouble(self, status: int | None) -> StartupTrouble:
        """What the child itself said after `✗`, else that it ended, and how."""
        said = [line.removeprefix(TROUBLE_SIGN) for line in self.log_tail() if line.startswith(TROUBLE_SIGN)]
        return StartupTrouble(said[-1], status or START_REFUSED) if said else super().trouble(status)

    async def _get(self, path: str) -> Any:
        """The JSON of the API's answer, None while it does not answer with success."""
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
                answer = await client.get(f"http://127.0.0.1:{self.port}{path}")
        except httpx.TransportError:
            return None
        return answer.json() if answer.is_success else None


class ApiProcess(TensorFleetProcess):
    """The API with its scheduler; ready when `/readyz` says so."""

    program = "API"
    term_seconds = 9.0
    """It waits for the workers of its fleet."""

    def command(self) -> list[str]:
        return tensorfleet("serve", "--port", str(self.port))

    async def probe(self) -> str | None:
        answer = await self._get("/readyz")
        return None if answer is None else str(answer.get("version", "ready"))


class WorkerProcess(TensorFleetProcess):
    """A worker; ready when the API lists its node as READY."""

    program = "worker"
    term_seconds = 8.0

    def __init__(self, directory: Path, port: int, env: Mapping[str, str], node_id: str) -> None:
        super().__init__(directory, port, {**env, "NODE_ID": node_id})
        self.node_id = node_id

    def command(self) -> list[str]:
        return tensorfleet("worker")

    async def probe(self) -> str | None:
        answer = await self._get("/api/v1/nodes") or {"nodes": []}
        mine = [n for n in answer["nodes"] if n["node_id"] == self.node_id and n["state"] == "READY"]
        return "ready" if mine else None


class Stack(Service):
    """The stores, the API on `port`, and `workers` workers, with their data in `folder`."""

    def __init__(self, settings: Settings, port: int, folder: Path, workers: int) -> None:
        super().__init__("stack")
        self.port = port
        self.folder = folder.resolve()
        self.embedded = EmbeddedServers(
            folder, mongodb=settings.store.mongodb_uri is None, redis=settings.queue.redis_url is None
        )
        self._workers = workers
        self._processes: ServiceGroup | None = None
        self._noted = False
        self.embedded.on_failure(lambda _, error: self._fail(error))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start_stores(self) -> Endpoints:
        """Only the stores; `start` does the rest."""
        await self.embedded.start()
        return self.embedded.endpoints

    async def _open(self) -> None:
        env = self._environment(await self.start_stores())
        pool = {} if any(name in os.environ for name in LOGICAL_POOL) else LOGICAL_POOL
        names = [f"node-{n + 1}" for n in range(self._workers)]
        self._processes = ServiceGroup(
            "processes",
            [
                ApiProcess(self.folder / "api", self.port, env),
                *(WorkerProcess(self.folder / name, self.port, env | pool, name) for name in names),
            ],
        )
        self._processes.on_failure(lambda _, error: self._fail(error))
        await self._processes.start()
        (self.folder / URL_FILE).write_text(self.url)
        self._noted = True

    async def _close(self) -> None:
        if self._noted:  # else it may be that of another process, which holds the folder
            (self.folder / URL_FILE).unlink(missing_ok=True)
        await asyncio.to_thread(end_workers, self.folder)  # those of the fleet end beside ours, not after them
        if self._processes is not None:
            await self._processes.stop()
        await self.embedded.stop()

    def _environment(self, endpoints: Endpoints) -> dict[str, str]:
        graces = {k: v for k, v in DEV_GRACES.items() if k not in os.environ}
        env = {"DATA_DIR": str(self.folder), "CAPACITY_LOCAL_BOUND": "yes", **graces}
        if endpoints.mongodb_uri:
            env["MONGODB_URI"] = endpoints.mongodb_uri
        if endpoints.redis_url:
            env["REDIS_URL"] = endpoints.redis_url
        return env
