"""The guard at its limits: hundreds of runs, orders without end, a supervisor that reads nothing, a reused number."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from app.domain.environment import MARK
from tests.support.wait import until
from workers import guard, trees
from workers.boottime import boot_seconds
from workers.guard import Guard, GuardedRun, Pipe

MANY = 60


class Silent(Pipe):
    """A pipe of a guard that nobody listens to."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def say(self, line: Any) -> None:
        self.said.append(line)


@contextmanager
def sleepers(number: int, mark: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    env = {**os.environ, MARK: mark}
    started = [subprocess.Popen(["sleep", "120"], env=env, start_new_session=True) for _ in range(number)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_one_look_at_the_system_finds_all_runs_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one look a run, hundreds of runs were stopped later than the margin of the lease."""
    looks: list[int] = []
    process_iter = psutil.process_iter
    with sleepers(MANY, "f1") as started:
        watched = Guard(Silent(), "f1", 60)
        watched._do_deadline(boot_seconds() + 0.2, 1)
        for process in started:
            assert watched._do_add(str(process.pid), process.pid, 1, held=False)
        monkeypatch.setattr(psutil, "process_iter", lambda: looks.append(1) or process_iter())
        while not watched._frozen_at:
            watched.look()
        assert {psutil.Process(p.pid).status() for p in started} == {psutil.STATUS_STOPPED}
        assert len(looks) < MANY


def test_a_number_that_was_given_away_again_is_nobodys_leader() -> None:
    """The leader has ended unseen, and a stranger has its number: it is neither stopped nor killed."""
    with sleepers(1, "stranger") as [stranger]:
        known = psutil.Process(stranger.pid)
        known._ident = (stranger.pid, 1.0)
        watched = Guard(Silent(), "f2", 60)
        watched._runs["r"] = GuardedRun(known, 1, held=True)
        assert not trees.living(watched._everything() | watched._held() | trees.tree(known))
        watched._do_kill()
        assert stranger.poll() is None


def test_the_deadline_is_kept_between_two_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders take their time, and hundreds may wait in the pipe."""
    done: list[str] = []

    class Busy(Guard):
        def look(self) -> None:
            done.append("look")

        def obey(self, order: Any) -> bool:
            done.append("obey")
            return len(done) < 7

    pipe = Silent()
    pipe.unsaid = b""
    monkeypatch.setattr(pipe, "orders", lambda: [{}] * 3)
    reading, writing = os.pipe()
    os.write(writing, b"x")
    monkeypatch.setattr(guard.select, "poll", lambda: _PollOf(reading))
    guard.serve(Busy(pipe, "f3", 60), pipe)
    assert done == ["look"] + ["look", "obey"] * 3
    os.close(reading)
    os.close(writing)


class _PollOf:
    """A poll that finds orders."""

    def __init__(self, reading: int) -> None:
        self._reading = reading

    def register(self, *_: int) -> None: ...

    def poll(self, _: int | None) -> list[tuple[int, int]]:
        return [(0, 1)]


def test_a_guard_whose_answers_nobody_reads_keeps_the_deadline() -> None:
    """A supervisor that is stopped has given many orders before: a full pipe must not stop the guard, too."""
    with sleepers(1, "f4") as [run]:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.guard", "f4", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None and process.stdout is not None
        at = boot_seconds() + 3.0
        orders = [{"n": 1, "do": "deadline", "at": at, "epoch": 1}]
        orders += [{"n": 2, "do": "add", "run": "r", "pid": run.pid, "epoch": 1, "held": False}]
        orders += [{"n": n, "do": "hello"} for n in range(3, 3000)]
        process.stdin.write(b"".join(json.dumps(order).encode() + b"\n" for order in orders))
        process.stdin.flush()
        asyncio.run(until(lambda: psutil.Process(run.pid).status() == psutil.STATUS_STOPPED))
        assert boot_seconds() >= at
        process.stdin.write(b'{"n": 3000, "do": "leave"}\n')
        process.stdin.flush()
        answers = process.stdout.read().split(b"\n")
        assert len([a for a in answers if b'"n"' in a]) == 3000
        process.wait(60)
        for pipe in (process.stdin, process.stdout):
            pipe.close()
