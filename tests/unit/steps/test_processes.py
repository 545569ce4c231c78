"""The processes that run steps, for real: forked from a fork server, and the warm one."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.wait import until
from tests.unit.steps.conftest import PIPELINE, a_specification
from workers import child, warm
from workers.steps import StepContext, registry

END = ("finished", "failed")


@dataclass
class Forked:
    """A process under test with our ends of its pipes."""

    process: ForkServerProcess
    report: Any
    log: Any

    def lines(self) -> Iterator[dict[str, Any]]:
        """Report lines until the last one of the run."""
        for raw in self.report:
            line = json.loads(raw)
            yield line
            if line["type"] in END:
                return

    def join(self) -> int | None:
        self.process.join(30)
        return self.process.exitcode


@pytest.fixture(scope="module")
def context() -> Any:
    """A fork server like the supervisor's, with little in it. A process has one, so tests of runners get it."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["workers.child", "workers.warm", "workers.runners.fork_server"])
    return made


def _reading(connection: Connection) -> Any:
    return os.fdopen(os.dup(connection.fileno()), "rb")


@contextmanager
def forked(context: Any, specification: Mapping[str, Any]) -> Iterator[Forked]:
    report, report_end = context.Pipe(duplex=False)
    log, log_end = context.Pipe(duplex=False)
    process = context.Process(target=child.main, args=(json.dumps(specification), report_end, log_end))
    process.start()
    report_end.close()
    log_end.close()
    with report, log, _reading(report) as report_file, _reading(log) as log_file:
        yield Forked(process, report_file, log_file)
    if process.is_alive():
        process.kill()
    process.join(30)
    process.close()


def test_a_whole_training_in_a_forked_process(context: Any, tmp_path: Path) -> None:
    raw = a_specification(
        tmp_path, PIPELINE, parameters={"dataset_name": "iris", "n_estimators": 10}, threads=1, cpus=[]
    )
    with forked(context, raw) as run:
        lines = list(run.lines())
        assert run.join() == 0
    assert [line["step"] for line in lines if line["type"] == "step_finished"] == list(PIPELINE)
    assert lines[-1]["type"] == "finished"
    assert lines[-1]["usage"]["cpu_seconds"] > 0
    assert lines[-1]["usage"]["peak_memory_mib"] > 10
    assert (tmp_path / "artifacts" / "model.skops").stat().st_size > 1000


def test_it_leads_its_own_group_on_its_own_cpus_and_its_output_is_the_log(context: Any, tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    code = """
import json, os, sys
print("to stdout"); print("to stderr", file=sys.stderr)
seen = {"sid": os.getsid(0), "pgid": os.getpgid(0), "parent": os.getppid(), "cpus": sorted(os.sched_getaffinity(0))}
json.dump(seen, open(os.environ["TF_OUTPUTS"], "w"))
"""
    steps = [{"step": "look", "kind": "command", "command": ["python", "-c", code]}]
    with forked(context, a_specification(tmp_path, steps, cpus=[cpu])) as run:
        pid = run.process.pid
        seen = next(line["outputs"] for line in run.lines() if line["type"] == "step_finished")
        assert run.join() == 0
        printed = run.log.read().decode()
    assert seen == {"sid": pid, "pgid": pid, "parent": pid, "cpus": [cpu]}
    assert printed.splitlines() == ["to stdout", "to stderr"]


def test_sigterm_asks_the_step_to_stop(context: Any, tmp_path: Path) -> None:
    with forked(context, a_specification(tmp_path, ["sleep"], parameters={"seconds": 600})) as run:
        lines = run.lines()
        assert next(lines)["type"] == "step_started"
        assert run.process.pid is not None
        os.kill(run.process.pid, signal.SIGTERM)
        *_, last = lines
        assert (last["type"], last["code"], last["step"]) == ("failed", "stopped", "sleep")
        assert run.join() == 0


async def test_a_second_sigterm_ends_a_step_that_does_not_listen(context: Any, tmp_path: Path) -> None:
    def catches_sigterm(pid: int) -> bool:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    os.mkfifo(tmp_path / "fifo")
    blocked = [{"step": "block", "kind": "command", "command": ["sh", "-c", "trap '' TERM; echo on; read x < fifo"]}]
    with forked(context, a_specification(tmp_path, blocked)) as run:
        pid = run.process.pid
        assert pid is not None
        assert run.log.readline() == b"on\n"
        os.kill(pid, signal.SIGTERM)
        await until(lambda: not catches_sigterm(pid))
        assert run.process.is_alive()
        os.kill(pid, signal.SIGTERM)
        assert run.join() == -signal.SIGTERM


async def test_a_command_dies_with_the_process_that_started_it(context: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    blocked = [{"step": "block", "kind": "command", "command": ["sh", "-c", "echo $$; read x < fifo"]}]
    with forked(context, a_specification(tmp_path, blocked)) as run:
        command = psutil.Process(int(run.log.readline()))
        run.process.kill()
        run.join()
        await until(lambda: not command.is_running() or command.status() == psutil.STATUS_ZOMBIE)


def test_a_crash_leaves_its_trace_in_the_report(context: Any, tmp_path: Path) -> None:
    with forked(context, a_specification(tmp_path, [{"step": "gone", "kind": "function"}])) as run:
        *_, last = run.lines()
        assert run.join() == 0
    assert (last["code"], last["step"]) == ("permanent", "gone")
    assert "tensorfleet.steps" in last["message"]


def inline(context: StepContext) -> Mapping[str, Any]:
    return {"thread": True}


inline.inline_safe = True  # type: ignore[attr-defined]


@dataclass
class Warm:
    """The warm process under test."""

    process: ForkServerProcess
    requests: Any
    report: Any

    def send(self, *requests: Mapping[str, Any]) -> None:
        self.requests.write(b"".join(json.dumps(each).encode() + b"\n" for each in requests))
        self.requests.flush()

    def until_ended(self, *keys: str) -> dict[str, list[dict[str, Any]]]:
        """All lines by run, until each of `keys` has ended."""
        lines: dict[str, list[dict[str, Any]]] = {}
        ended: set[str] = set()
        while not ended >= set(keys):
            line = json.loads(self.report.readline())
            lines.setdefault(line["run"], []).append(line)
            if line["type"] in END:
                ended.add(line["run"])
        return lines


@pytest.fixture
def warmed(context: Any) -> Iterator[Warm]:
    requests_end, requests = context.Pipe(duplex=False)
    report, report_end = context.Pipe(duplex=False)
    process = context.Process(target=warm.main, args=(requests_end, report_end))
    process.start()
    requests_end.close()
    report_end.close()
    writing = os.fdopen(os.dup(requests.fileno()), "wb")
    requests.close()
    with report, _reading(report) as reading:
        yield Warm(process, writing, reading)
        writing.close()
        process.join(30)
        assert process.exitcode == 0
    process.close()


def test_warm_noops_answer_for_each_run(warmed: Warm, tmp_path: Path) -> None:
    keys = [f"job_{n}-1" for n in range(500)]
    warmed.send(*({"run": key, "spec": a_specification(tmp_path, ["noop"])} for key in keys))
    lines = warmed.until_ended(*keys)
    assert set(lines) == set(keys)
    assert all(
        [line["type"] for line in told] == ["step_started", "step_finished", "finished"] for told in lines.values()
    )


def test_warm_sleeps_run_side_by_side_and_stop_when_asked(warmed: Warm, tmp_path: Path) -> None:
    long = a_specification(tmp_path, ["sleep", "noop"], parameters={"seconds": 600})
    short = a_specification(tmp_path, ["noop", "sleep"], parameters={"seconds": 0.05})
    warmed.send({"run": "long", "spec": long}, {"run": "short", "spec": short})
    lines = warmed.until_ended("short")
    assert lines["short"][-1]["type"] == "finished"
    assert "failed" not in [line["type"] for line in lines["long"]]
    warmed.send({"stop": "unknown"}, {"stop": "long"})
    [*_, last] = warmed.until_ended("long")["long"]
    assert (last["type"], last["code"]) == ("failed", "stopped")


def test_warm_takes_light_steps_only(warmed: Warm, tmp_path: Path) -> None:
    command = [{"step": "c", "kind": "command", "command": ["true"]}]
    warmed.send(
        {"run": "a", "spec": a_specification(tmp_path, ["noop", "model_training"])},
        {"run": "b", "spec": a_specification(tmp_path, command)},
        {"run": "c", "spec": a_specification(tmp_path, [{"step": "unknown", "kind": "function"}])},
    )
    lines = warmed.until_ended("a", "b", "c")
    assert [lines[key][0]["code"] for key in "abc"] == ["permanent"] * 3
    assert "may not run inline" in lines["a"][0]["message"]


async def test_warm_runs_inline_safe_functions_in_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    points = {"inline": EntryPoint("inline", f"{__name__}:inline", registry.GROUP)}
    monkeypatch.setattr(registry, "registered_functions", lambda: points)
    requests_end, requests = os.pipe()
    report, report_end = os.pipe()
    spec = a_specification(tmp_path, [{"step": "inline", "kind": "function"}])
    os.write(requests, json.dumps({"run": "r", "spec": spec}).encode() + b"\n")
    task = asyncio.ensure_future(warm.serve(requests_end, report_end))
    with os.fdopen(report, "rb") as reading:
        os.set_blocking(report, False)
        raw = b""

        def ended() -> bool:
            nonlocal raw
            raw += reading.read() or b""
            return b'"finished"' in raw

        await until(ended)
    os.close(requests)
    await task
    for descriptor in (requests_end, report_end):
        os.close(descriptor)
    told = [json.loads(line) for line in raw.splitlines()]
    assert [line["type"] for line in told] == ["step_started", "step_finished", "finished"]
    assert told[1]["outputs"] == {"thread": True}
