"""The warm process of the inline executor: many small runs in one long-lived process.

It reads requests and writes the lines of `workers/report.py`, each with its `run`, so that a supervisor handles both
executors alike. `noop` runs where it is read, `sleep` on the event loop, functions in threads; nothing else is taken,
because code that may crash or must be limited belongs in a process of its own. It ends when the requests end, and is
killed with its parent.

Requests, one JSON object a line: `{"run": key, "spec": {…}}` starts a run, `{"stop": key}` asks it to stop.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import orjson

from app.domain.json import Json
from workers.child import Pipe
from workers.process import die_with_parent, usage
from workers.report import Failure, Reporter, Usage, encode
from workers.steps.context import StepContext
from workers.steps.failures import PermanentFailure, StepEnd
from workers.steps.light import sleep_marks, sleep_seconds
from workers.steps.registry import is_inline_safe
from workers.steps.runner import run_step, run_steps
from workers.steps.specification import RunSpecification
from workers.steps.stop import EventStop

READ_BYTES = 1 << 18
FUNCTION_THREADS = 32


def main(requests: Pipe, report: Pipe) -> None:
    """Serve until `requests` is closed, then end at once, whatever still runs."""
    os.setsid()
    die_with_parent(os.getppid())
    descriptors = [pipe if isinstance(pipe, int) else pipe.fileno() for pipe in (requests, report)]
    asyncio.run(serve(*descriptors))
    os._exit(0)


async def serve(requests: int, report: int) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    pipe = os.fdopen(os.dup(requests), "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    desk = _Desk(_Outbox(report, loop))
    rest = b""
    while chunk := await reader.read(READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                desk.handle(orjson.loads(line))
    transport.close()


class _Outbox:
    """Gathers report lines and writes what one turn of the loop produced at once; usable from any thread."""

    def __init__(self, descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = descriptor
        self._loop = loop
        self._lines: list[bytes] = []

    def put(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) == 1:
            self._loop.call_soon(self._flush)

    def put_from_thread(self, line: bytes) -> None:
        self._loop.call_soon_threadsafe(self.put, line)

    def _flush(self) -> None:
        left = memoryview(b"".join(self._lines))
        self._lines.clear()
        while left:
            left = left[os.write(self._descriptor, left) :]


class _Desk:
    """The runs that are under way, by key."""

    def __init__(self, outbox: _Outbox) -> None:
        self._outbox = outbox
        self._stops: dict[str, _Stop] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(FUNCTION_THREADS, thread_name_prefix="inline")

    def handle(self, request: Mapping[str, Json]) -> None:
        if "stop" in request:
            stop = self._stops.get(request["stop"])
            if stop is not None:
                stop.request()
            return
        self._start(request["run"], RunSpecification.from_json(request["spec"]))

    def _start(self, key: str, run: RunSpecification) -> None:
        reporter = Reporter(lambda line: self._outbox.put(encode({"run": key, **line})))
        refused = _refusal(run)
        kinds = {(step.kind, step.step) for step in run.steps}
        if refused is not None or kinds <= {("builtin", "noop")}:
            _conclude(reporter, refused or run_steps(run, reporter, EventStop()), 0.0)
            return
        stop = self._stops[key] = _Stop()
        light = all(kind == "builtin" for kind, _ in kinds)
        work = _run_light(run, reporter, stop) if light else self._run_in_thread(key, run, stop)
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(key, done))

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._stops.pop(key, None)
        if error := task.exception():
            raise SystemExit(1) from error

    async def _run_in_thread(self, key: str, run: RunSpecification, stop: _Stop) -> None:
        reporter = Reporter(lambda line: self._outbox.put_from_thread(encode({"run": key, **line})))

        def work() -> None:
            started = time.thread_time()
            failure = run_steps(run, reporter, stop)
            _conclude(reporter, failure, time.thread_time() - started)

        await asyncio.get_running_loop().run_in_executor(self._threads, work)


class _Stop(EventStop):
    """A stop flag for threads that coroutines can wait for, too."""

    def __init__(self) -> None:
        super().__init__()
        self._raised = asyncio.Event()

    def request(self) -> None:
        super().request()
        self._raised.set()

    async def wait_on_loop(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._raised.wait(), max(0.0, seconds))
        except TimeoutError:
            return


async def _run_light(run: RunSpecification, reporter: Reporter, stop: _Stop) -> None:
    """Steps that are `noop` or `sleep`: what `run_steps` does, without holding a thread while sleeping."""
    failure: Failure | None = None
    for step in run.steps:
        context = StepContext(run, step, reporter, stop)
        ended = await _sleep(context, stop) if step.step == "sleep" else run_step(context)
        if isinstance(ended, Failure):
            failure = ended
            break
    _conclude(reporter, failure, 0.0)


async def _sleep(context: StepContext, stop: _Stop) -> Failure | None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    context.reporter.step_started(context.step)
    try:
        seconds = sleep_seconds(context.parameters)
        for until, progress in sleep_marks(seconds):
            await stop.wait_on_loop(started + until - loop.time())
            context.stop_if_asked()
            context.report(progress=progress)
    except StepEnd as end:
        return Failure(end.code, str(end), context.step, exception_type=type(end).__name__)
    context.reporter.step_finished(context.step, {"slept_seconds": seconds})
    return None


def _refusal(run: RunSpecification) -> Failure | None:
    """Why a run may not be inline, if so."""
    try:
        unsafe = next((step.step for step in run.steps if not is_inline_safe(step.step, step.kind)), None)
    except PermanentFailure as failure:
        return Failure("permanent", str(failure))
    if unsafe is None:
        return None
    return Failure("permanent", f"step {unsafe} may not run inline; leave the executor out or say process", unsafe)


def _conclude(reporter: Reporter, failure: Failure | None, cpu_seconds: float) -> None:
    used = Usage(cpu_seconds, usage().peak_memory_mib)
    if failure is None:
        reporter.finished(used)
    else:
        reporter.failed(failure, used)
