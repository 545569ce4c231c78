"""The command `tensorfleet worker` as a process under test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.config import Settings
from app.domain.nodes import NodeState
from app.services import Services
from tests.integration.cluster import NODE, Cluster
from tests.support.wait import until
from workers.settings import command_line

READY = 60.0
LEASE = {"LEASE_SECONDS": "6", "LEASE_BEAT_SECONDS": "1", "LEASE_MARGIN_SECONDS": "3"}


def environment(settings: Settings) -> dict[str, str]:
    """What a worker process is started with."""
    return {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "PYTHONPATH")},
        "MONGODB_URI": settings.store.mongodb_uri or "",
        "REDIS_URL": settings.queue.redis_url or "",
        "MONGODB_DATABASE": settings.store.database,
        "DATA_DIR": str(settings.data.directory),
        "NODE_ID": NODE,
        "NODE_CPU_CORES": "64",
        "NODE_MEMORY_GB": "256",
        "KILL_GRACE_SECONDS": "2",
        "DRAIN_GRACE_SECONDS": "0.2",
    }


@asynccontextmanager
async def a_process(settings: Settings, *command: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(command or command_line()), env=environment(settings), stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def a_logged_process(settings: Settings, **changed: str) -> AsyncIterator[Process]:
    """With short leases; what it says goes to a file, and is told at the end."""
    env = {**environment(settings), **LEASE, **changed}
    settings.data.directory.mkdir(exist_ok=True)
    said = settings.data.directory / f"worker-{os.urandom(3).hex()}.log"
    with said.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*command_line(), env=env, stdout=out, stderr=out)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()
        sys.stderr.write(said.read_text())


async def registered(services: Services) -> None:
    async def ready() -> bool:
        node = await services.nodes.get(NODE)
        return node is not None and node.state is NodeState.READY

    await until(ready, READY, every=0.05)


def by_hand(services: Services) -> Cluster:
    return Cluster(services, None)  # type: ignore[arg-type]
