"""The service as real processes: `tensorfleet serve`, `tensorfleet worker`, or a module of the tests."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import own_port
from tests.support.wait import until

TENSORFLEET = str(Path(sys.executable).with_name("tensorfleet"))
READY = 120.0
KEPT = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")


class Child:
    """A process that logs into `log`; `kill` is a crash, `stop` is polite."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def kill(self) -> None:
        if self.alive:
            self.process.kill()
        await self.process.wait()

    async def stop(self, seconds: float = 60) -> int:
        """SIGTERM, and the exit status; killed when it does not end in time."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                return await self.process.wait()
        except TimeoutError:
            await self.kill()
            raise


@asynccontextmanager
async def child(folder: Path, env: Mapping[str, str], *command: str) -> AsyncIterator[Child]:
    """Run a command with only these settings in its environment; killed at the end if it still lives."""
    name = "-".join(Path(part).name for part in command if not part.startswith("-"))[:40]
    log = folder / f"{name}-{os.urandom(3).hex()}.log"
    own = {k: v for k, v in os.environ.items() if k in KEPT}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command, env={**own, **env}, stdout=out, stderr=out, stdin=asyncio.subprocess.DEVNULL
        )
    found = Child(process, log)
    try:
        yield found
    except BaseException:
        sys.stderr.write(log.read_text(errors="replace")[-4_000:])
        raise
    finally:
        await found.kill()


class Api:
    """A running API and a client for it."""

    def __init__(self, process: Child, url: str, client: httpx.AsyncClient) -> None:
        self.process = process
        self.url = url
        self.client = client

    async def job(self, job_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/api/v1/jobs/{job_id}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def submit(self, body: Mapping[str, Any], **headers: str) -> dict[str, Any]:
        answer = await self.client.post("/api/v1/jobs", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def ended(self, job_id: str, timeout: float = 120) -> dict[str, Any]:
        """The job once it is terminal."""

        async def terminal() -> dict[str, Any] | None:
            job = await self.job(job_id)
            return job if job["status"] in {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"} else None

        found = await until(terminal, timeout, every=0.05)
        assert found is not None
        return found


@asynccontextmanager
async def api(
    folder: Path, env: Mapping[str, str], *command: str, port: int = 0, ready: str = "/readyz"
) -> AsyncIterator[Api]:
    """`tensorfleet serve` (or another command that reads PORT) that answers `ready`."""
    at = port or own_port()
    url = f"http://127.0.0.1:{at}"
    given = command or (sys.executable, TENSORFLEET, "serve")
    async with (
        child(folder, {**env, "PORT": str(at)}, *given) as process,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
    ):

        async def answers() -> bool:
            assert process.alive, process.log.read_text()
            try:
                return (await client.get(ready)).is_success
            except httpx.TransportError:
                return False

        await until(answers, READY, every=0.05)
        yield Api(process, url, client)


@asynccontextmanager
async def worker(folder: Path, env: Mapping[str, str], served: Api, node_id: str = "node-1") -> AsyncIterator[Child]:
    """`tensorfleet worker` that is ready, and that the API lists as READY."""
    async with child(folder, {**env, "NODE_ID": node_id}, sys.executable, TENSORFLEET, "worker") as process:

        async def registered() -> bool:
            assert process.alive, process.log.read_text()
            if "worker.ready" not in process.log.read_text():
                return False
            nodes = (await served.client.get("/api/v1/nodes")).json()["nodes"]
            return any(n["node_id"] == node_id and n["state"] == "READY" for n in nodes)

        await until(registered, READY, every=0.05)
        yield process
