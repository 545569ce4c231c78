"""The process executor: a run is a fork of the fork server, in a session and process group of its own.

It begins when the guard knows of it. The supervisor keeps the limits: time of each step, time of the whole, memory of
the tree; the clocks stand while the run is frozen. A run that must end is asked (SIGTERM to its group), given its
grace, and killed; it is over only when nothing of its tree lives. Its last report line is believed only when nothing
stopped it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import orjson
import structlog

from app.domain.json import Json
from workers.guarding import KILLED_BY_GUARD, Guarding
from workers.home import remember_process
from workers.run import AT_ONCE, Listener, RunEnding, RunKey, RunOrder, RunReport
from workers.runners.fork_server import Child
from workers.runners.killing import end_child, signal_group, sweep
from workers.runners.limits import Clocks, Deadlines, memory_message
from workers.runners.nursery import Nursery
from workers.runners.pipes import Bytes, Lines, pipe_for_child, pipe_to_child, read_into, read_out, write_to
from workers.runners.verdict import died, last_word, stopped
from workers.usage import TreeWatch, Usage

log = structlog.get_logger()
DRAIN_SECONDS = 1.0
LINGER_SECONDS = 2.0
"""How long a process may take to end after its last word, before it is killed."""


class ProcessRunner:
    """Runs each order in a process of its own."""

    def __init__(
        self,
        nursery: Nursery,
        watch: TreeWatch,
        guard: Guarding,
        kill_grace: float,
        preempt_grace: float | None = None,
    ) -> None:
        self._tools = _Tools(nursery, watch, guard, kill_grace, kill_grace if preempt_grace is None else preempt_grace)
        self._live: dict[RunKey, _ProcessRun] = {}

    async def run(self, order: RunOrder, listener: Listener) -> RunReport:
        """Run to the end; see `Runner`."""
        run = self._live[order.key] = _ProcessRun(order, listener, self._tools)
        try:
            return await run.to_the_end()
        finally:
            del self._live[order.key]

    def stop(self, key: RunKey, reason: RunEnding, message: str = "") -> None:
        """Have a run end; see `Runner`."""
        if run := self._live.get(key):
            run.stop(reason, message)

    async def freeze(self, key: RunKey) -> bool:
        """Stop a run's tree until `thaw`; see `Runner`."""
        run = self._live.get(key)
        return run is not None and await run.freeze()

    async def thaw(self, key: RunKey) -> None:
        """Have it go on; see `Runner`."""
        await self._tools.guard.let_go(str(key))

    def pids(self) -> dict[RunKey, int]:
        """The leaders of the live runs' process groups."""
        return {key: run.child.pid for key, run in self._live.items() if run.child is not None}


@dataclass(frozen=True, slots=True)
class _Tools:
    """What every run needs; graces in seconds."""

    nursery: Nursery
    watch: TreeWatch
    guard: Guarding
    kill_grace: float
    preempt_grace: float

    def grace(self, reason: RunEnding) -> float:
        """How long a run may take to end that is asked to for this reason."""
        return self.preempt_grace if reason is RunEnding.PREEMPTED else self.kill_grace


class _ProcessRun:
    """One run, from its start to the end of the last of its processes."""

    def __init__(self, order: RunOrder, listener: Listener, tools: _Tools) -> None:
        self._order = order
        self._listener = listener
        self._tools = tools
        self._name = str(order.key)
        self._clocks = Clocks()
        self._deadlines = Deadlines(order, self._clocks, self.stop)
        self._last: Mapping[str, Json] | None = None
        self._reason: tuple[RunEnding, str] | None = None
        self._stopping = asyncio.Event()
        self._step: str | None = None
        self._reports: asyncio.ReadTransport | None = None
        self.begun = False
        """Whether the run has its order."""
        self.child: Child | None = None

    def stop(self, reason: RunEnding, message: str = "") -> None:
        """The first reason stays; a run that has said its last word is let end by itself."""
        if self._reason is None and self._last is None:
            self._reason = reason, message
            self._stopping.set()

    async def freeze(self) -> bool:
        """What the run has said by the time it is stopped is heard first: a run that has ended is not frozen."""
        if not self.begun or self._is_ending() or not await self._tools.guard.hold(self._name):
            return False
        if self._reports is not None:
            await read_out(self._reports)
        if self._is_ending():
            await self._tools.guard.let_go(self._name)
            return False
        return True

    async def to_the_end(self) -> RunReport:
        report = Lines(self._hear)
        printed = Bytes(self._listener.printed)
        orders_out, orders_in = pipe_to_child()
        orders = await write_to(orders_in)
        try:
            child = self.child = await self._fork(orders_out, report, printed)
        except (EOFError, ConnectionError):
            return self._report(None, Usage(), 0.0)
        finally:
            orders_out.close()
            if self.child is None:
                orders.close()
        return await self._see_through(child, orders, report, printed)

    async def _see_through(
        self, child: Child, orders: asyncio.WriteTransport, report: Lines, printed: Bytes
    ) -> RunReport:
        watch = self._tools.watch
        watched = watch.add(child.pid, self._order.memory_mib, child.inherited_mib, self._too_much)
        try:
            await self._begin(child, orders)
            await self._until_ended(child)
        finally:
            orders.close()
            watch.remove(child.pid)
            await asyncio.shield(self._bury(child, report, printed))
        return self._report(child.ended.result(), watched.usage, watched.inherited_mib)

    async def _fork(self, orders: Connection, report: Lines, printed: Bytes) -> Child:
        report_in, report_out = pipe_for_child()
        log_in, log_out = pipe_for_child()
        self._reports = await read_into(report_in, report)
        await read_into(log_in, printed)
        with report_out, log_out:
            return await self._tools.nursery.start_run(orders, report_out, log_out, light=self._order.is_light())

    async def _begin(self, child: Child, orders: asyncio.WriteTransport) -> None:
        """The process gets its order, and begins, when it will be found again and is guarded; never when it was stopped
        before. Without an order it ends by itself."""
        remember_process(Path(self._order.specification["work_dir"]), child.pid)
        guarded = await self._tools.guard.add(self._name, child.pid, self._clocks)
        if guarded and self._reason is None:
            self._deadlines.begin()
            orders.write(orjson.dumps(self._order.specification))
            self.begun = True
        orders.close()

    async def _until_ended(self, child: Child) -> None:
        """A held run hears its stop and goes on for it; one that the lease has frozen must not go on, and is killed."""
        child.ended.add_done_callback(lambda _: self._stopping.set())
        await self._stopping.wait()
        if self._reason is None or self._reason[0] in AT_ONCE or self._tools.guard.frozen or child.ended.done():
            return
        signal_group(child.pid, signal.SIGTERM)
        await self._tools.guard.let_go(self._name)
        await self._clocks.wait(child.ended, self._tools.grace(self._reason[0]))

    async def _bury(self, child: Child, report: Lines, printed: Bytes) -> None:
        """Nothing of the run lives after this, and everything that it said was heard."""
        await end_child(child)
        await sweep(child)
        self._clocks.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await report.closed.wait()
                await printed.closed.wait()
        killed = await self._tools.guard.remove(self._name)
        if killed and self._reason is None and self._last is None:
            self._reason = RunEnding.FENCED, KILLED_BY_GUARD

    def _is_ending(self) -> bool:
        return self._reason is not None or self._last is not None or self.child is None or self.child.ended.done()

    def _hear(self, line: Mapping[str, Json]) -> None:
        kind = line.get("type")
        if kind in ("finished", "failed"):
            self._last = line
            self._clocks.later(LINGER_SECONDS, self._stopping.set)
            return
        if kind == "step_started":
            self._step = line["step"]
            self._deadlines.step_started(line["step"])
        self._listener.heard(line)

    def _too_much(self, memory_mib: float) -> None:
        self.stop(RunEnding.OUT_OF_MEMORY, memory_message(memory_mib, self._order.memory_mib))

    def _report(self, status: int | None, usage: Usage, inherited_mib: float) -> RunReport:
        if self._reason is not None:
            return stopped(self._reason, self._step, self._last, usage, inherited_mib)
        if self._last is not None:
            return last_word(self._last, usage, inherited_mib)
        if status == -signal.SIGKILL:
            log.warning("run.killed_from_outside", key=str(self._order.key))
        return died(status, self._step, usage)
