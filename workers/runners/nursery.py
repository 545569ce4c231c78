"""The fork server of a worker: it loads the machine-learning libraries once, and every run is a fork of it.

Built on multiprocessing's own. Four things are added, since a run is untrusted code and its start must be quick:

- A child must not inherit the pipe by which the fork server sees that its worker lives, else the server outlives a
  killed worker as long as any run does. With it closed, a killed worker ends the server, and the server's end kills
  every run (`die_with_parent`).
- The child must not import the worker's main module again, which would cost more than the fork.
- All that it forks bears this worker's mark (`workers/mark.py`), and a run begins only when its order is complete,
  which is sent after the guard knows of it.
- Starting a child and looking for orphans happen in one thread, one after the other, so that a fresh child is never
  taken for an orphan.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any, TypeVar

import psutil
import structlog

from app.domain.errors import TensorFleetError
from workers.child import PRELOAD
from workers.child import main as child_main
from workers.mark import marking
from workers.process import die_with_parent
from workers.runners.adoption import adopt_orphans
from workers.warm import main as warm_main

log = structlog.get_logger()
_OWN_MODULES = ("workers.runners.nursery", "workers.runners.fork_server")
_SERVER_GONE = 255
DYING_SECONDS = 0.1
"""A process that is killed closes its pipes some moments before it is seen dead."""
T = TypeVar("T")


class NurseryClosed(TensorFleetError):
    """A run was to be started while the worker ends."""


class Child:
    """A started process. `ended` resolves to its exit status (negative: the signal), None when the fork server died."""

    def __init__(self, process: ForkServerProcess, server: int | None, loop: asyncio.AbstractEventLoop) -> None:
        self.pid: int = pid_of(process)
        self.ended: asyncio.Future[int | None] = loop.create_future()
        self._process = process
        self._server = server
        self._loop = loop
        loop.add_reader(process.sentinel, self._collect)

    def _collect(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._process.join()
        status = self._process.exitcode
        self._process.close()
        if status == _SERVER_GONE:
            self._loop.call_later(DYING_SECONDS, self._conclude, status)
        else:
            self._conclude(status)

    def _conclude(self, status: int | None) -> None:
        """A run may exit with 255 by itself, too: then its fork server lives."""
        lost = status == _SERVER_GONE and not _lives(self._server)
        if not self.ended.done():
            self.ended.set_result(None if lost else status)


class Nursery:
    """Starts children from the fork server. `open` begins loading the libraries, without waiting for it."""

    def __init__(self, preload: Sequence[str] = PRELOAD) -> None:
        self._preload = [*preload, *_OWN_MODULES]
        self._context = get_context("forkserver")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nursery")
        self._alive: set[int] = set()
        self._server: int | None = None
        self._inherited_mib: float | None = None
        self._closed = False

    async def open(self) -> None:
        """Start the fork server. The first child starts when its libraries are loaded."""
        await self._in_thread(self._start_server)

    async def start_run(self, order: Connection, report: Connection, log_pipe: Connection) -> Child:
        """A child that reads what to run from `order`, up to its end, runs it, and writes to the other pipes."""
        return await self._start(_begin_run, order, report, log_pipe)

    async def start_warm(self, requests: Connection, report: Connection) -> Child:
        """A child that serves the inline executor through these pipes."""
        return await self._start(_begin_warm, requests, report)

    def inherited_mib(self) -> float:
        """Memory that is resident in every fork at its birth: the server's own (a file's pages come with their use)."""
        if self._inherited_mib is None and self._server is not None:
            try:
                memory = psutil.Process(self._server).memory_info()
            except psutil.Error:
                return 0.0
            self._inherited_mib = (memory.rss - getattr(memory, "shared", 0)) / (1 << 20)
        return self._inherited_mib or 0.0

    async def orphans(self) -> list[psutil.Process]:
        """Processes that dead runs left behind."""
        return await self._in_thread(self._find_orphans)

    def close(self) -> None:
        """No further child is started. The fork server ends with this process."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise NurseryClosed("the worker is stopping; no run is started any more")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _start(self, target: Callable[..., None], *arguments: Any) -> Child:
        process = await self._in_thread(lambda: self._fork(target, arguments))
        child = Child(process, self._server, asyncio.get_running_loop())
        child.ended.add_done_callback(lambda _: self._alive.discard(child.pid))
        return child

    def _start_server(self) -> None:
        self._context.set_forkserver_preload(self._preload)
        resource_tracker.ensure_running()
        with _without_main_module(), marking():
            forkserver.ensure_running()

    def _fork(self, target: Callable[..., None], arguments: tuple[Any, ...]) -> ForkServerProcess:
        self._start_server()
        process = self._context.Process(target=target, args=arguments)
        with _without_main_module(), marking():
            process.start()
        self._alive.add(pid_of(process))
        self._remember_server(pid_of(process))
        return process

    def _remember_server(self, child: int) -> None:
        try:
            parent = psutil.Process(child).ppid()
        except psutil.Error:
            return
        if parent not in (self._server, 1, os.getpid()):
            self._server, self._inherited_mib = parent, None

    def _find_orphans(self) -> list[psutil.Process]:
        if self._server is None:
            return []
        try:
            children = psutil.Process(self._server).children()
        except psutil.Error:
            return []
        return [p for p in children if p.pid not in self._alive and _lives(p.pid)]


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


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide where `__main__` came from, so that a child does not import it again (multiprocessing would, by path)."""
    main = sys.modules["__main__"]
    path, spec = getattr(main, "__file__", None), main.__spec__
    main.__file__, main.__spec__ = None, None
    try:
        yield
    finally:
        main.__file__, main.__spec__ = path, spec


def _let_the_server_see_the_worker_end() -> None:
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]


def _begin_run(order: Connection, report: Connection, log_pipe: Connection) -> None:
    """Nothing of a job runs before its order has come: until then the guard may not know of this process."""
    _let_the_server_see_the_worker_end()
    die_with_parent(os.getppid())
    adopt_orphans()
    with os.fdopen(os.dup(order.fileno()), "rb") as pipe:
        specification = pipe.read()
    order.close()
    if specification:
        child_main(specification.decode(), report, log_pipe)


def _begin_warm(requests: Connection, report: Connection) -> None:
    _let_the_server_see_the_worker_end()
    warm_main(requests, report)
