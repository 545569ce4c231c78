"""One embedded server as a child process: start, wait until it answers, watch, end.

Invariants: the child never outlives the thread that started it (`app.bound`), has a session of its own, so that
Ctrl-C in a terminal reaches us first and the order of stopping is ours, and listens on loopback only. A child that ends
by itself is a failure of the service with the end of its log in the text. Start it from a thread that lives as long as
the process.
"""

from __future__ import annotations

import asyncio
import os
import signal
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from app.dev.machine import free_port
from app.lifecycle import Service
from app.program import bound_to_me
from app.startup import StartupTrouble, embedded_failed

READY_SECONDS = 60.0
POLL_SECONDS = 0.02
MOST_MOVES = 3
LOG_TAIL_LINES = 5


class EmbeddedServer(Service):
    """A server program in `directory`, listening on `port` of loopback. `version` is known once it runs."""

    program: str
    """What people call it."""
    may_move = True
    """Whether another port will do when this one is taken between the choice and the start."""
    term_seconds = 5.0
    """How long it may take to end when asked; then it is killed."""
    orphan_signal = signal.SIGTERM
    """What it gets when this process dies."""

    def __init__(self, directory: Path, port: int, keep_open: Sequence[int] = ()) -> None:
        super().__init__(f"embedded.{self.program.lower()}")
        self.directory = directory.resolve()
        self.port = port
        self.version = ""
        self.log_path = directory / f"{self.program.lower()}.log"
        self._keep_open = tuple(keep_open)
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The program's absolute path and its arguments."""

    @abstractmethod
    async def probe(self) -> str | None:
        """Its version once it is ready for work, None while it is not. Called until it answers.

        It must make sure that it is this child that answers, since another may have taken the port.
        """

    def environment(self) -> dict[str, str]:
        """Its environment variables; this process's own unless a subclass says otherwise."""
        return dict(os.environ)

    @property
    def title(self) -> str:
        """What it is called when it fails."""
        return f"embedded {self.program}"

    @property
    def pid(self) -> int | None:
        """The child's process id, None before the start."""
        return None if self._process is None else self._process.pid

    def kill(self) -> None:
        """End it without warning, as a crash would (for tests of crashes)."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _open(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        for _ in range(MOST_MOVES):
            process = await self._spawn()
            try:
                await self._ready(process)
            except StartupTrouble:
                if not (self.may_move and await self._stolen(process)):
                    raise
                self.port = free_port()
            else:
                self._watching = asyncio.create_task(self._watch(process), name=f"{self.name}.watch")
                return
        raise self.trouble(process.returncode)

    async def _stolen(self, process: asyncio.subprocess.Process) -> bool:
        """Whether it ended because somebody else listens on its port by now."""
        return process.returncode is not None and await self._accepts()

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self.log_path.open("wb") as log_file:
            self._process = await asyncio.create_subprocess_exec(
                *bound_to_me(self.command(), self.orphan_signal),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_file,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self._keep_open,
                env=self.environment(),
            )
        return self._process

    async def _close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(self.term_seconds):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        while process.returncode is None and loop.time() < deadline:
            if await self._accepts() and (version := await self.probe()):
                self.version = version
                return
            await asyncio.sleep(POLL_SECONDS)
        raise self.trouble(process.returncode)

    async def _accepts(self) -> bool:
        """Whether the port is open: cheaper to ask, and quieter, than a client library whose first connection fails."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        self._fail(self.trouble(await process.wait()))

    def trouble(self, status: int | None) -> StartupTrouble:
        """The error of a child that ended with `status`, or (None) never became ready."""
        return StartupTrouble(embedded_failed(self.title, status, self.log_tail()))

    def log_tail(self) -> list[str]:
        """The last lines that it logged."""
        lines = self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []
        return [line[:500] for line in lines[-LOG_TAIL_LINES:]]
