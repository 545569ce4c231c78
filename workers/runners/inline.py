"""The inline executor: trusted light steps in one warm process that lives as long as the worker.

Requests and report lines of all runs share two pipes. A run cannot be killed by itself: one that does not heed its stop
takes the warm process with it, and the others in it start again without using an attempt. When the process dies by
itself, some run in it may be the cause, so each counts as an error and the retry policy bounds it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import cast

import orjson
import structlog

from app.domain.json import Json
from workers.guarding import KILLED_BY_GUARD, Guarding
from workers.run import AT_ONCE, Listener, RunEnding, RunKey, RunOrder, RunReport
from workers.runners.fork_server import Child
from workers.runners.killing import end_child, signal_group
from workers.runners.limits import Clocks, Deadlines, Stop
from workers.runners.nursery import Nursery
from workers.runners.pipes import Lines, pipe_for_child, pipe_to_child, read_into, write_to
from workers.runners.verdict import last_word, stopped
from workers.usage import Usage

log = structlog.get_logger()
_UNKNOWN_USAGE = Usage()
DIED = "the process of the inline executor ended while this run was in it"
Hear = Callable[[Mapping[str, Json]], None]
Died = Callable[["_Warm"], Coroutine[None, None, None]]
"""Called when a warm process has ended."""


class InlineRunner:
    """Runs orders in the warm process, which starts with the first of them. It is the clocks of that process, too."""

    def __init__(self, nursery: Nursery, guard: Guarding, kill_grace: float) -> None:
        self._nursery = nursery
        self._guard = guard
        self._grace = kill_grace
        self._runs: dict[str, _InlineRun] = {}
        self._warm: _Warm | None = None
        self._starting = asyncio.Lock()

    async def run(self, order: RunOrder, listener: Listener) -> RunReport:
        """Run to the end; see `Runner`."""
        run = self._runs[str(order.key)] = _InlineRun(order, listener, lambda r, m: self.stop(order.key, r, m))
        try:
            warm = self._warm if self._warm is not None and self._warm.alive else await self._started()
            if run.reason is not None:
                return stopped(run.reason, None, None, _UNKNOWN_USAGE, 0.0)
            run.begin(warm, frozen=self._guard.frozen)
            if warm.alive:
                warm.send({"run": str(order.key), "spec": order.specification})
            else:
                run.conclude(stopped((RunEnding.LOST, DIED), None, None, _UNKNOWN_USAGE, 0.0))
            return await run.over
        finally:
            run.clocks.end()
            del self._runs[str(order.key)]

    def stop(self, key: RunKey, reason: RunEnding, message: str = "") -> None:
        """Have a run end; see `Runner`. The warm process is not waited for while the lease keeps it frozen."""
        run = self._runs.get(str(key))
        if run is None or run.reason is not None:
            return
        run.reason = reason, message
        if self._warm is None or not self._warm.alive:
            return
        self._warm.send({"stop": str(key)})
        if reason in AT_ONCE or self._guard.frozen:
            asyncio.get_running_loop().call_soon(self._give_up, run)
        else:
            run.clocks.later(self._grace, lambda: self._give_up(run))

    async def freeze(self, key: RunKey) -> bool:  # noqa: ARG002 - the signature is `Runner`'s
        """False: the others in the warm process cannot be stopped with it."""
        return False

    async def thaw(self, key: RunKey) -> None:
        """Nothing is ever frozen here by itself."""

    def stand(self, ago: float = 0.0) -> None:
        """The warm process is frozen; see `Clocks`."""
        for run in self._runs.values():
            run.clocks.stand(ago)

    def go(self, ago: float = 0.0) -> None:
        """The warm process goes on; see `Clocks`."""
        for run in self._runs.values():
            run.clocks.go(ago)

    async def close(self) -> None:
        """End the warm process."""
        if self._warm is not None:
            await self._warm.end()

    async def _started(self) -> _Warm:
        """One that is guarded: nobody sends it anything before."""
        async with self._starting:
            if self._warm is None or not self._warm.alive:
                warm = await _Warm.start(self._nursery, self._hear, self._died)
                if not await self._guard.add(warm.name, warm.pid, self):
                    warm.kill()
                self._warm = warm
            return self._warm

    def _hear(self, line: Mapping[str, Json]) -> None:
        run = self._runs.get(line["run"])
        if run is not None:
            run.hear(line)

    def _give_up(self, run: _InlineRun) -> None:
        if not run.over.done() and self._warm is not None:
            log.warning("inline.restarted", key=str(run.order.key))
            run.conclude(stopped(cast("tuple[RunEnding, str]", run.reason), run.step, None, _UNKNOWN_USAGE, 0.0))
            self._warm.kill()

    async def _died(self, warm: _Warm) -> None:
        """What was in it has ended with it: by our doing, by the guard's, or maybe by that of a run."""
        fault = RunEnding.LOST if warm.by_us else RunEnding.ERROR
        reason = fault, DIED
        if await self._guard.remove(warm.name):
            reason = RunEnding.FENCED, KILLED_BY_GUARD
        for run in [run for run in self._runs.values() if run.warm is warm]:
            run.conclude(stopped(run.reason or reason, run.step, None, _UNKNOWN_USAGE, 0.0))


class _InlineRun:
    """A run in the warm process."""

    def __init__(self, order: RunOrder, listener: Listener, stop: Stop) -> None:
        self.order = order
        self.over: asyncio.Future[RunReport] = asyncio.get_running_loop().create_future()
        self.reason: tuple[RunEnding, str] | None = None
        self.warm: _Warm | None = None
        self.step: str | None = None
        self.clocks = Clocks()
        self._listener = listener
        self._deadlines = Deadlines(order, self.clocks, stop)

    def begin(self, warm: _Warm, *, frozen: bool) -> None:
        self.warm = warm
        if frozen:
            self.clocks.stand()
        self._deadlines.begin()

    def hear(self, line: Mapping[str, Json]) -> None:
        kind = line.get("type")
        if kind in ("finished", "failed"):
            if self.reason is not None:
                self.conclude(stopped(self.reason, self.step, line, _UNKNOWN_USAGE, 0.0))
            else:
                self.conclude(last_word(line, _UNKNOWN_USAGE, 0.0))
            return
        if kind == "step_started":
            self.step = line["step"]
            self._deadlines.step_started(line["step"])
        self._listener.heard(line)

    def conclude(self, report: RunReport) -> None:
        """Memory is not told: the process is shared."""
        if not self.over.done():
            self.over.set_result(replace(report, peak_memory_mib=None))


class _Warm:
    """The warm process and its two pipes."""

    def __init__(self, child: Child, requests: asyncio.WriteTransport, died: Died) -> None:
        self.pid = child.pid
        self.name = f"inline-{child.pid}"
        """By which it is guarded."""
        self.by_us = False
        """Whether we have ended it."""
        self._child = child
        self._requests = requests
        self._gone: asyncio.Task[None] | None = None
        child.ended.add_done_callback(lambda _: self._ended(died))

    @classmethod
    async def start(cls, nursery: Nursery, hear: Hear, died: Died) -> _Warm:
        report_in, report_out = pipe_for_child()
        requests_out, requests_in = pipe_to_child()
        with report_out, requests_out:
            await read_into(report_in, Lines(hear))
            child = await nursery.start_warm(requests_out, report_out)
        return cls(child, await write_to(requests_in), died)

    @property
    def alive(self) -> bool:
        return not self._child.ended.done() and not self.by_us

    def send(self, request: Mapping[str, Json]) -> None:
        self._requests.write(orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE))

    def kill(self) -> None:
        """End it at once; `died` is called when it has ended."""
        self.by_us = True
        signal_group(self.pid, signal.SIGKILL)

    async def end(self) -> None:
        self.by_us = True
        await end_child(self._child)

    def _ended(self, died: Died) -> None:
        if not self._requests.is_closing():
            self._requests.abort()
        self._gone = asyncio.ensure_future(died(self))
