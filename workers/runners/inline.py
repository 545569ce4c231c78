"""The inline executor: trusted light steps in one warm process that lives as long as the worker.

Requests and report lines of all runs share two pipes. A run cannot be killed by itself: one that does not heed its stop
takes the warm process with it, and the others in it start again without using an attempt. When the process dies by
itself, some run in it may be the cause, so each counts as an error and the retry policy bounds it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import orjson
import structlog

from app.domain.json import Json
from workers.run import AT_ONCE, Listener, RunEnding, RunKey, RunOrder, RunReport
from workers.runners.killing import end_child, signal_group
from workers.runners.limits import Deadlines, Stop
from workers.runners.nursery import Child, Nursery
from workers.runners.pipes import Lines, pipe_for_child, pipe_to_child, read_into
from workers.runners.verdict import last_word, stopped
from workers.usage import Usage

log = structlog.get_logger()
_UNKNOWN_USAGE = Usage()
Hear = Callable[[Mapping[str, Json]], None]
Died = Callable[[bool], None]
"""Called when the warm process has ended; True when it was ended by us."""


class InlineRunner:
    """Runs orders in the warm process, which starts with the first of them."""

    def __init__(self, nursery: Nursery, kill_grace: float) -> None:
        self._nursery = nursery
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
            run.begin()
            warm.send({"run": str(order.key), "spec": order.specification})
            return await run.over
        finally:
            run.end()
            del self._runs[str(order.key)]

    def stop(self, key: RunKey, reason: RunEnding, message: str = "") -> None:
        """Have a run end; see `Runner`."""
        run = self._runs.get(str(key))
        if run is None or run.reason is not None:
            return
        run.reason = reason, message
        if self._warm is None or not self._warm.alive:
            return
        self._warm.send({"stop": str(key)})
        grace = 0.0 if reason in AT_ONCE else self._grace
        run.patience = asyncio.get_running_loop().call_later(grace, self._give_up, run)

    async def close(self) -> None:
        """End the warm process."""
        if self._warm is not None:
            await self._warm.end()

    async def _started(self) -> _Warm:
        async with self._starting:
            if self._warm is None or not self._warm.alive:
                self._warm = await _Warm.start(self._nursery, self._hear, self._died)
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

    def _died(self, by_us: bool) -> None:
        ending = RunEnding.LOST if by_us else RunEnding.ERROR
        message = "the process of the inline executor ended while this run was in it"
        for run in list(self._runs.values()):
            reason = run.reason or (ending, message)
            run.conclude(stopped(reason, run.step, None, _UNKNOWN_USAGE, 0.0))


class _InlineRun:
    """A run in the warm process."""

    def __init__(self, order: RunOrder, listener: Listener, stop: Stop) -> None:
        self.order = order
        self.over: asyncio.Future[RunReport] = asyncio.get_running_loop().create_future()
        self.reason: tuple[RunEnding, str] | None = None
        self.patience: asyncio.TimerHandle | None = None
        self.step: str | None = None
        self._listener = listener
        self._deadlines = Deadlines(order, stop)

    def begin(self) -> None:
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

    def end(self) -> None:
        self._deadlines.end()
        if self.patience is not None:
            self.patience.cancel()


class _Warm:
    """The warm process and its two pipes."""

    def __init__(self, child: Child, requests: asyncio.WriteTransport, died: Died) -> None:
        self._child = child
        self._requests = requests
        self._by_us = False
        child.ended.add_done_callback(lambda _: self._gone(died))

    @classmethod
    async def start(cls, nursery: Nursery, hear: Hear, died: Died) -> _Warm:
        report_in, report_out = pipe_for_child()
        requests_out, requests_in = pipe_to_child()
        with report_out, requests_out:
            await read_into(report_in, Lines(hear))
            child = await nursery.start_warm(requests_out, report_out)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(requests_in, "wb", buffering=0))
        return cls(child, transport, died)

    @property
    def alive(self) -> bool:
        return not self._child.ended.done() and not self._by_us

    def send(self, request: Mapping[str, Json]) -> None:
        self._requests.write(orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE))

    def kill(self) -> None:
        """End it at once; `died` is called when it has ended."""
        self._by_us = True
        signal_group(self._child.pid, signal.SIGKILL)

    async def end(self) -> None:
        self._by_us = True
        await end_child(self._child, 0.0)

    def _gone(self, died: Died) -> None:
        if not self._requests.is_closing():
            self._requests.abort()
        died(self._by_us)
