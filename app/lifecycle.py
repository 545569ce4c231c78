"""One start/stop contract for everything long-lived.

A `Service` lives once: new → starting → running → stopped. The promises, which the stress test holds it to:

- `start` opens exactly once, however often and by how many callers it is awaited; each returns when it is open.
- `stop` closes exactly once, at any moment: before the start, during it (which ends the start), twice, concurrently.
  It never raises, since whoever stops can do nothing about it and the others must still be stopped; it logs.
- A start that fails, or whose caller is cancelled, has closed what it had opened before the error reaches the caller.
- After `stop`, `start` raises `ServiceStopped`.
- A service that ends by itself reports it: `failure` tells why, `done` is set. `/readyz` fails and the process ends.

A `Loop` is a service that runs one coroutine until it is stopped. A `ServiceGroup` starts its members in order, stops
them in reverse, and fails with the first of them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import structlog

log = structlog.get_logger()


class ServiceStopped(RuntimeError):
    """A start was asked of a service that was stopped, or was stopped while it started."""

    def __init__(self, name: str) -> None:
        super().__init__(f"service {name} was stopped; a service lives once, build a new one")
        self.name = name


class Service(ABC):
    """Something long-lived. Subclasses say how to `_open` and `_close`; `_close` must cope with a half-done `_open`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure: BaseException | None = None
        self.done = asyncio.Event()
        """Set when the service has ended, by `stop` or by itself; in the latter case `failure` holds the reason."""
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._on_failure: list[Callable[[Service, BaseException], None]] = []

    @abstractmethod
    async def _open(self) -> None:
        """Acquire and begin. Called at most once."""

    @abstractmethod
    async def _close(self) -> None:
        """End and release. Called at most once, and only after `_open` was begun."""

    @property
    def running(self) -> bool:
        """Open, not failed, not being stopped."""
        opened = self._opening is not None and self._opening.done() and not self._opening.cancelled()
        return opened and self._closing is None and self.failure is None

    def failures(self) -> dict[str, str]:
        """Why this service is not healthy: its name → the reason. Empty while all is well."""
        return {} if self.failure is None else {self.name: _reason(self.failure)}

    def on_failure(self, tell: Callable[[Service, BaseException], None]) -> None:
        """Have `tell(service, error)` called, once, if this service ends by itself."""
        self._on_failure.append(tell)

    async def start(self) -> None:
        """Open, or wait until another caller's opening is done."""
        if self._closing is not None:
            raise ServiceStopped(self.name)
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name=f"{self.name}.open")
        try:
            await asyncio.shield(self._opening)
        except BaseException:
            ended_by_stop = self._opening.cancelled() and self._closing is not None
            await self.stop()
            if ended_by_stop:
                raise ServiceStopped(self.name) from None
            raise

    async def stop(self) -> None:
        """Close, or wait until another caller's closing is done. A cancelled caller leaves; the closing goes on."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._end(), name=f"{self.name}.close")
        await asyncio.shield(self._closing)

    async def _end(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
            try:
                await self._close()
            except Exception:
                log.exception("service.close_failed", service=self.name)
        self.done.set()

    def _fail(self, error: BaseException) -> None:
        """Called by subclasses when the service has ended by itself. The first reason stays."""
        if self.failure is None and self._closing is None:
            self.failure = error
            self.done.set()
            for tell in self._on_failure:
                tell(self, error)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class LoopEnded(RuntimeError):
    """A loop returned although nobody had stopped it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"loop {name} ended without being stopped")


class Loop(Service):
    """A service that runs the coroutine `run` under supervision until it is stopped.

    `stop` sets `stopping` and gives `run` `grace` seconds to return by itself, so that a step under way is finished;
    then it is cancelled. With the default of 0 it is cancelled at once.
    """

    grace: float = 0.0

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def run(self) -> None:
        """The loop itself: `while await self.pause(seconds, wake): …`. An exception out of it is a crash."""

    async def pause(self, seconds: float, wake: asyncio.Event | None = None) -> bool:
        """Wait until `wake` is set (it is cleared), `seconds` are over, or the loop is to stop; in that case False."""
        events = [self.stopping] if wake is None else [self.stopping, wake]
        if not any(event.is_set() for event in events):
            waits = [asyncio.ensure_future(event.wait()) for event in events]
            try:
                await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        if wake is not None:
            wake.clear()
        return not self.stopping.is_set()

    async def _open(self) -> None:
        self._task = asyncio.create_task(self._supervise(), name=self.name)

    async def _close(self) -> None:
        self.stopping.set()
        if self._task is not None:
            if self.grace:
                await asyncio.wait([self._task], timeout=self.grace)
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _supervise(self) -> None:
        try:
            await self.run()
        except asyncio.CancelledError:
            if not self.stopping.is_set():
                self._fail(LoopEnded(self.name))
            raise
        except Exception as error:
            log.exception("service.crashed", service=self.name)
            self._fail(error)
        else:
            if not self.stopping.is_set():
                log.error("service.ended", service=self.name)
                self._fail(LoopEnded(self.name))


class ServiceGroup(Service):
    """Starts its members in order, stops them in reverse, and has failed when one of them has."""

    def __init__(self, name: str, members: Sequence[Service]) -> None:
        super().__init__(name)
        self.members = tuple(members)
        for member in self.members:
            member.on_failure(lambda _, error: self._fail(error))

    def failures(self) -> dict[str, str]:
        """The reasons of the members that failed, by member."""
        return {name: why for member in self.members for name, why in member.failures().items()}

    async def _open(self) -> None:
        for member in self.members:
            await member.start()

    async def _close(self) -> None:
        for member in reversed(self.members):
            await member.stop()


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
