"""A process of the service that can be killed, frozen, stopped politely, and started again as it was."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import psutil

from tests.chaos.moments import boot_time
from tests.support.processes import Child, child
from tests.support.wait import until

START_SECONDS = 120.0


class Part:
    """`command` (serve or worker) with `env`. `light`: see `tests.chaos.doctored`."""

    def __init__(self, name: str, folder: Path, env: Mapping[str, str], command: str, *, light: bool) -> None:
        self.name = name
        self.env = dict(env)
        self._folder = folder / name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._command = command
        self._light = light
        self._held = AsyncExitStack()
        self._process: Child | None = None

    @property
    def process(self) -> Child:
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    def log(self) -> str:
        """What its present process has logged."""
        return self.process.log.read_text(errors="replace")

    async def start(self, *, without: Sequence[str] = (), faults: Sequence[str] = ()) -> None:
        """Start it and wait until it serves. `without` and `faults`: see `tests.chaos.doctored`."""
        await self.launch(without=without, faults=faults)
        await until(self._serves, START_SECONDS, every=0.02)

    async def launch(self, *, without: Sequence[str] = (), faults: Sequence[str] = ()) -> Child:
        """Start it without waiting for anything."""
        options = ["--light"] * self._light
        options += [*(f"--without={name}" for name in without), *(f"--fault={name}" for name in faults)]
        program = (sys.executable, "-m", "tests.chaos.doctored", *options, "--", self._command)
        self._process = await self._held.enter_async_context(child(self._folder, self.env, *program))
        return self._process

    async def _serves(self) -> bool:
        assert self.alive, self.log()[-4_000:]
        return await self._answers() if self._command == "serve" else "worker.ready" in self.log()

    async def _answers(self) -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                answer = await client.get(f"http://127.0.0.1:{self.env['PORT']}/readyz")
        except httpx.TransportError:
            return False
        return answer.is_success

    async def kill(self) -> float:
        """Crash it; the moment on the boot clock."""
        at = boot_time()
        await self.process.kill()
        return at

    async def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and its exit status."""
        return await self.process.stop(seconds)

    def freeze(self) -> None:
        """Stop the process itself; those below it go on."""
        os.kill(self.process.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.alive:
            os.kill(self.process.process.pid, signal.SIGCONT)

    def tree(self) -> list[psutil.Process]:
        """The process and all below it."""
        try:
            own = psutil.Process(self.process.process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.Error:
            return []

    async def close(self) -> None:
        """End it, and everything that was started for it."""
        await self._held.aclose()
