"""The process executor: a run is a fork of the fork server, in a session and process group of its own.

The supervisor keeps the limits: time of each step, time of the whole, memory of the tree. A run that must end is asked
(SIGTERM to its group), given its grace, and killed; it is over only when nothing of its tree lives. Its last report
line is believed only when nothing stopped it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import orjson
import structlog

from app.domain.json import Json
from workers.home import remember_process
from workers.run import AT_ONCE, Listener, RunEnding, RunKey, RunOrder, RunReport
from workers.runners.killing import end_child, sweep
from workers.runners.limits import Deadlines, memory_message
from workers.runners.nursery import Child, Nursery
from workers.runners.pipes import Bytes, Lines, pipe_for_child, read_into
from workers.runners.verdict import died, last_word, stopped
from workers.usage import TreeWatch, Watched

log = structlog.get_logger()
DRAIN_SECONDS = 1.0
LINGER_SECONDS = 2.0
"""How long a process may take to end after its last word, before it is killed."""


class ProcessRunner:
    """Runs each order in a process of its own."""

    def __init__(self, nursery: Nursery, watch: TreeWatch, kill_grace: float) -> None:
        self._nursery = nursery
        self._watch = watch
        self._grace = kill_grace
        self._live: dict[RunKey, _ProcessRun] = {}

    async def run(self, order: RunOrder, listener: Listener) -> RunReport:
        """Run to the end; see `Runner`."""
        run = self._live[order.key] = _ProcessRun(order, listener, self._nursery, self._watch, self._grace)
        try:
            return await run.to_the_end()
        finally:
            del self._live[order.key]

    def stop(self, key: RunKey, reason: RunEnding, message: str = "") -> None:
        """Have a run end; see `Runner`."""
        if run := self._live.get(key):
            run.stop(reason, message)

    def pids(self) -> dict[RunKey, int]:
        """The leaders of the live runs' process groups: what a guard would have to stop."""
        return {key: run.child.pid for key, run in self._live.items() if run.child is not None}


class _ProcessRun:
    """One run, from its start to the end of the last of its processes."""

    def __init__(
        self, order: RunOrder, listener: Listener, nursery: Nursery, watch: TreeWatch, kill_grace: float
    ) -> None:
        self._order = order
        self._listener = listener
        self._nursery = nursery
        self._watch = watch
        self._grace = kill_grace
        self._deadlines = Deadlines(order, self.stop)
        self._last: Mapping[str, Json] | None = None
        self._reason: tuple[RunEnding, str] | None = None
        self._stopping = asyncio.Event()
        self._step: str | None = None
        self.child: Child | None = None

    def stop(self, reason: RunEnding, message: str = "") -> None:
        """The first reason stays; a run that has said its last word is let end by itself."""
        if self._reason is None and self._last is None:
            self._reason = reason, message
            self._stopping.set()

    async def to_the_end(self) -> RunReport:
        report = Lines(self._hear)
        printed = Bytes(self._listener.printed)
        self.child = child = await self._start(report, printed)
        watched = self._watch.add(child.pid, self._order.memory_mib, self._nursery.inherited_mib(), self._too_much)
        self._deadlines.begin()
        try:
            remember_process(Path(self._order.specification["work_dir"]), child.pid)
            await self._until_ended(child)
        finally:
            self._deadlines.end()
            self._watch.remove(child.pid)
            await asyncio.shield(self._bury(child, report, printed))
        return self._report(child, watched)

    async def _start(self, report: Lines, printed: Bytes) -> Child:
        report_in, report_out = pipe_for_child()
        log_in, log_out = pipe_for_child()
        await read_into(report_in, report)
        await read_into(log_in, printed)
        with report_out, log_out:
            specification = orjson.dumps(self._order.specification).decode()
            return await self._nursery.start_run(specification, report_out, log_out)

    async def _until_ended(self, child: Child) -> None:
        child.ended.add_done_callback(lambda _: self._stopping.set())
        await self._stopping.wait()
        if self._reason is not None:
            await end_child(child, 0.0 if self._reason[0] in AT_ONCE else self._grace)

    async def _bury(self, child: Child, report: Lines, printed: Bytes) -> None:
        """Nothing of the run lives after this, and everything that it said was heard."""
        await end_child(child, 0.0)
        await sweep(child, self._nursery)
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await report.closed.wait()
                await printed.closed.wait()

    def _hear(self, line: Mapping[str, Json]) -> None:
        kind = line.get("type")
        if kind in ("finished", "failed"):
            self._last = line
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._stopping.set)
            return
        if kind == "step_started":
            self._step = line["step"]
            self._deadlines.step_started(line["step"])
        self._listener.heard(line)

    def _too_much(self, memory_mib: float) -> None:
        self.stop(RunEnding.OUT_OF_MEMORY, memory_message(memory_mib, self._order.memory_mib))

    def _report(self, child: Child, watched: Watched) -> RunReport:
        status = child.ended.result()
        if self._reason is not None:
            return stopped(self._reason, self._step, self._last, watched.usage, watched.inherited_mib)
        if self._last is not None:
            return last_word(self._last, watched.usage, watched.inherited_mib)
        if status == -signal.SIGKILL:
            log.warning("run.killed_from_outside", key=str(self._order.key))
        return died(status, self._step, watched.usage)
