"""A fork server: it loads modules once, and every process that it starts is a fork of it.

Built on multiprocessing's own, of which a process has only one: a worker keeps two. Three things are added, since a run
is untrusted code:

- A child must not inherit the pipe by which the fork server sees that its worker lives, else the server outlives a
  killed worker as long as any run does. With it closed, a killed worker ends the server, and the server's end kills
  every run (`die_with_parent`).
- All that it forks bears this worker's mark (`workers/mark.py`).
- Starting a child and looking for orphans happen in one thread, one after the other, so that a fresh child is never
  taken for an orphan.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import forkserver, popen_forkserver, reduction, resource_tracker, spawn, util
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess, set_spawning_popen
from threading import Lock
from typing import Any, TypeVar

import psutil

from app.domain.errors import TensorFleetError
from workers.mark import marking

OWN_MODULES = ("workers.runners.nursery", "workers.runners.inside_server")
"""Preloaded last by every fork server."""
_SERVER_GONE = 256
"""No process can exit with it."""
T = TypeVar("T")


class NurseryClosed(TensorFleetError):
    """A run was to be started while the worker ends."""


class Child:
    """A started process. `ended` resolves to its exit status (negative: the signal), None when the fork server died;
    `inherited_mib` is the memory that was resident in it at its birth."""

    def __init__(self, process: ForkServerProcess, server: ForkServer, loop: asyncio.AbstractEventLoop) -> None:
        self.pid: int = pid_of(process)
        self.server = server
        self.inherited_mib = server.own_mib()
        self.ended: asyncio.Future[int | None] = loop.create_future()
        self._process = process
        self._loop = loop
        loop.add_reader(process.sentinel, self._collect)

    def _collect(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._process.join()
        status = self._process.exitcode
        self._process.close()
        if not self.ended.done():
            self.ended.set_result(None if status == _SERVER_GONE else status)


class ForkServer:
    """Starts children that have `modules` loaded. `start` begins loading them, without waiting for it."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._server = _Server()
        self._server.set_forkserver_preload([*modules, *OWN_MODULES])
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fork-server")
        self._alive: set[int] = set()
        self._measured: tuple[int, float] | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process of the server; None before its start."""
        pid: int | None = self._server._forkserver_pid  # type: ignore[attr-defined]
        return pid

    async def start(self) -> None:
        """Have it begin to load. The first child starts when it has."""
        await self._in_thread(self._server.ensure_running)

    async def fork(self, target: Callable[..., None], *arguments: Any) -> Child:
        """A child that calls `target`; connections among the arguments are handed over. A server that died is begun
        anew. Raises EOFError or ConnectionError when it dies meanwhile, NurseryClosed after `close`."""
        process = await self._in_thread(lambda: self._fork(target, arguments))
        child = Child(process, self, asyncio.get_running_loop())
        child.ended.add_done_callback(lambda _: self._alive.discard(child.pid))
        return child

    def own_mib(self) -> float:
        """Memory that is resident in every fork at its birth: the server's own (a file's pages come with their use)."""
        pid = self.pid
        if pid is None:
            return 0.0
        if self._measured is None or self._measured[0] != pid:
            try:
                memory = psutil.Process(pid).memory_info()
            except psutil.Error:
                return 0.0
            self._measured = pid, (memory.rss - getattr(memory, "shared", 0)) / (1 << 20)
        return self._measured[1]

    async def orphans(self) -> list[psutil.Process]:
        """Processes that its dead children left behind; none after `close`."""
        with suppress(NurseryClosed):
            return await self._in_thread(self._find_orphans)
        return []

    def close(self) -> None:
        """No further child is started, and the server is ended: with it whatever it still has."""
        self._closed = True
        self._thread.submit(self._server.end)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise NurseryClosed("the worker is stopping; no run is started any more")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _fork(self, target: Callable[..., None], arguments: tuple[Any, ...]) -> ForkServerProcess:
        process = _Process(self._server, target, arguments)
        process.start()
        self._alive.add(pid_of(process))
        return process

    def _find_orphans(self) -> list[psutil.Process]:
        if self.pid is None:
            return []
        try:
            children = psutil.Process(self.pid).children()
        except psutil.Error:
            return []
        return [p for p in children if p.pid not in self._alive and _lives(p.pid)]


class _Server(forkserver.ForkServer):
    """multiprocessing's, marked. The environment is one for all servers of the process, and so is the lock."""

    _starting = Lock()

    def ensure_running(self) -> None:
        resource_tracker.ensure_running()
        with self._starting, marking():
            super().ensure_running()

    def end(self) -> None:
        """Kill the server, which may have been stopped, and take it off the list of this process's children."""
        pid = self._forkserver_pid  # type: ignore[attr-defined]
        if pid is not None:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                self._stop()  # type: ignore[attr-defined]


class _Process(ForkServerProcess):
    """multiprocessing's, but a fork of that server."""

    def __init__(self, server: _Server, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        super().__init__(target=target, args=arguments)
        self._server = server

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_server"}

    @staticmethod
    def _Popen(process: _Process) -> _Popen:  # type: ignore[override]  # noqa: N802 (the name that is called)
        return _Popen(process)


class _Popen(popen_forkserver.Popen):
    """How a process begins: the server gets the descriptors, the child what it is to do. The child does not import the
    worker's main module again, which would cost more than the fork."""

    _fds: list[int]
    returncode: int | None

    def _launch(self, process: _Process) -> None:
        message = self._message(process)
        self.sentinel, order = process._server.connect_to_new_process(self._fds)
        parent_lives = os.dup(order)
        self.finalizer = util.Finalize(self, _close, (parent_lives, self.sentinel))
        with os.fdopen(order, "wb") as pipe:
            pipe.write(message)
        self.pid = forkserver.read_signed(self.sentinel)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """As multiprocessing's, which takes a server that died without a word for a child that exited with 255. Whether
        the server is seen dead yet tells nothing: it closes its pipes some moments before."""
        if self.returncode is None and wait([self.sentinel], 0 if flag == os.WNOHANG else None):
            try:
                self.returncode = forkserver.read_signed(self.sentinel)
            except (OSError, EOFError):
                self.returncode = _SERVER_GONE
        return self.returncode

    def _message(self, process: _Process) -> bytes:
        preparation = spawn.get_preparation_data(process.name)
        message = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump({k: v for k, v in preparation.items() if not k.startswith("init_main")}, message)
            reduction.dump(process, message)
        finally:
            set_spawning_popen(None)
        return message.getvalue()


def let_the_server_see_the_worker_end() -> None:
    """In a child, first of all: close its end of the pipe that says that the worker lives."""
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def pid_of(process: ForkServerProcess) -> int:
    """The id of a started process."""
    if process.pid is None:
        raise RuntimeError("the process was not started")
    return process.pid


def _lives(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
