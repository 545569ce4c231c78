"""The guard with real processes: what it stops, continues and kills, and that the clocks of a run stand meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.domain.environment import MARK
from tests.support import ticks
from tests.support.liveness import lives
from tests.support.wait import until
from tests.unit.workers.conftest import LIGHT, Heard, a_guard, a_step, an_order
from workers import trees
from workers.boottime import Alarm, boot_seconds
from workers.guarding import Guarding
from workers.run import RunEnding, RunKey, RunReport
from workers.runners.inline import InlineRunner
from workers.runners.nursery import Nursery
from workers.runners.process import ProcessRunner
from workers.usage import TreeWatch

GRACE = 10.0
LIMIT = 4.0
"""Seconds that a run may take: far more than it takes to begin, on a busy machine too."""
MARK_OF = f"alone-{os.getpid()}"
"""With a number behind, a mark that no other process of the machine bears."""
KEY = RunKey("job_a", 1)


class Bench:
    """A guard, a runner, and one run that ticks."""

    def __init__(self, guard: Guarding, runner: ProcessRunner, inline: InlineRunner, folder: Path) -> None:
        self.guard, self.runner, self.inline, self.folder = guard, runner, inline, folder
        self.file = folder / "ticks"

    async def ticking(self, *how: str, timeout: float = 60) -> asyncio.Task[RunReport]:
        order = an_order(self.folder, a_step("c", ticks.command(self.file, *how)), timeout=timeout)
        running = asyncio.create_task(self.runner.run(order, Heard()))
        await self.ticks_after(0.0)
        return running

    async def ticks_after(self, moment: float) -> None:
        await until(lambda: ticks.read(self.file)[-1:] > [moment])

    async def silent_for(self, seconds: float) -> None:
        """No tick from now on, for so long."""
        now = boot_seconds()
        await until(lambda: boot_seconds() > now + seconds)
        assert [tick for tick in ticks.read(self.file) if tick > now] == []

    async def renewed(self, epoch: int = 1, seconds: float = 3600.0) -> float:
        at = boot_seconds()
        await self.guard.protect(epoch, at + seconds)
        return at

    async def late(self, seconds: float = 0.3) -> float:
        """Let the lease end so long from now: by how many seconds it was outlived. All goes on afterwards."""
        at = await self.renewed(seconds=seconds) + seconds
        await until(lambda: self.guard.frozen)
        assert self.guard.protection is None
        await self.silent_for(0.3)
        last = ticks.read(self.file)[-1]
        await self.ticks_after(await self.renewed())
        assert not self.guard.frozen
        return last - at

    async def ends(self, running: asyncio.Task[RunReport], reason: RunEnding) -> RunReport:
        self.runner.stop(KEY, reason)
        return await asyncio.wait_for(running, 30)


@asynccontextmanager
async def a_bench(folder: Path, freeze_max: float = 3600.0) -> AsyncIterator[Bench]:
    nursery = Nursery(LIGHT)
    await nursery.open()
    async with TreeWatch() as watch, a_guard(freeze_max=freeze_max) as guard:
        inline = InlineRunner(nursery, guard, GRACE)
        yield Bench(guard, ProcessRunner(nursery, watch, guard, GRACE), inline, folder)
        await inline.close()
    nursery.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(tmp_path) as made:
        yield made


@pytest.mark.parametrize("how", [(), ("apart",)])
async def test_at_the_deadline_all_stops_and_a_renewal_continues(bench: Bench, how: tuple[str, ...]) -> None:
    running = await bench.ticking(*how)
    assert min([await bench.late() for _ in range(3)]) < 1.0
    assert (await bench.ends(running, RunEnding.CANCELLED)).ending is RunEnding.CANCELLED


async def test_time_limits_stand_while_the_lease_freezes_a_run(bench: Bench) -> None:
    asked = boot_seconds()
    running = await bench.ticking(timeout=LIMIT)
    await bench.renewed(seconds=0.1)
    await until(lambda: bench.guard.frozen)
    used = boot_seconds() - asked
    await until(lambda: boot_seconds() > asked + used + LIMIT + 0.5)
    assert bench.guard.frozen and not running.done()
    at = await bench.renewed()
    await bench.ticks_after(at)
    assert (await asyncio.wait_for(running, 30)).ending is RunEnding.TIMEOUT
    assert boot_seconds() - at > LIMIT - used - 0.05


async def test_a_run_that_begins_while_the_lease_is_not_trusted_waits(bench: Bench) -> None:
    first = await bench.ticking()
    await bench.ends(first, RunEnding.FENCED)
    await bench.renewed(seconds=-1.0)
    order = an_order(bench.folder, a_step("c", ticks.command(bench.folder / "other")), run_no=2)
    running = asyncio.create_task(bench.runner.run(order, Heard()))
    now = boot_seconds()
    await until(lambda: boot_seconds() > now + 1.0)
    assert not (bench.folder / "other").exists()
    await bench.renewed()
    await until(lambda: ticks.read(bench.folder / "other"))
    bench.runner.stop(order.key, RunEnding.FENCED)
    await running


@pytest.mark.parametrize("how", [(), ("apart",)])
async def test_a_user_holds_one_run_and_its_clocks(bench: Bench, how: tuple[str, ...]) -> None:
    running = await bench.ticking(*how, timeout=LIMIT)
    assert await bench.runner.freeze(KEY)
    await bench.silent_for(LIMIT + 0.1)
    assert not running.done()
    await bench.renewed()
    await bench.silent_for(0.1)
    await bench.runner.thaw(KEY)
    await bench.ticks_after(boot_seconds())
    assert (await asyncio.wait_for(running, 30)).ending is RunEnding.TIMEOUT


async def test_held_and_frozen_goes_on_only_when_neither(bench: Bench) -> None:
    running = await bench.ticking()
    assert await bench.runner.freeze(KEY)
    await bench.renewed(seconds=0.0)
    await bench.renewed()
    await bench.silent_for(0.2)
    await bench.renewed(seconds=0.0)
    await bench.runner.thaw(KEY)
    await bench.silent_for(0.2)
    await bench.ticks_after(await bench.renewed())
    await bench.ends(running, RunEnding.CANCELLED)


async def test_a_held_run_hears_its_stop(bench: Bench) -> None:
    heard = Heard()
    script = "trap 'echo asked; exit 1' TERM; echo up; while :; do sleep 0.05; done"
    running = asyncio.create_task(bench.runner.run(an_order(bench.folder, a_step("c", ["sh", "-c", script])), heard))
    await until(lambda: b"up" in heard.output)
    assert await bench.runner.freeze(KEY)
    report = await bench.ends(running, RunEnding.CANCELLED)
    assert report.ending is RunEnding.CANCELLED and b"asked" in heard.output


async def test_a_run_that_the_lease_froze_is_killed_for_its_stop(bench: Bench) -> None:
    running = await bench.ticking()
    await bench.renewed(seconds=0.0)
    frozen = boot_seconds()
    assert (await bench.ends(running, RunEnding.DRAINED)).ending is RunEnding.DRAINED
    assert [tick for tick in ticks.read(bench.file) if tick > frozen] == []


async def test_what_has_ended_is_not_frozen(bench: Bench) -> None:
    """A run whose last word is in the pipe has ended, although nobody has read it yet."""
    gate = bench.folder / "gate"
    os.mkfifo(gate)
    heard, order = Heard(), an_order(bench.folder, a_step("c", ["sh", "-c", f"read x < {gate}"]))
    running = asyncio.create_task(bench.runner.run(order, heard))
    await until(lambda: heard.knows("step_started"))
    gate.write_text("go\n")
    psutil.Process(bench.runner.pids()[KEY]).wait(30)  # the loop stands meanwhile
    assert not await bench.runner.freeze(KEY)
    assert (await asyncio.wait_for(running, 30)).ending is RunEnding.FINISHED
    assert not await bench.runner.freeze(KEY)


async def test_an_inline_run_is_not_frozen_alone_but_with_the_lease(bench: Bench) -> None:
    heard, order = Heard(), an_order(bench.folder, a_step("sleep"), seconds=LIMIT - 1.0, timeout=LIMIT)
    running = asyncio.create_task(bench.inline.run(order, heard))
    await until(lambda: heard.knows("step_started"))
    assert not await bench.inline.freeze(order.key)
    at = await bench.renewed(seconds=0.1)
    await until(lambda: boot_seconds() > at + LIMIT + 0.5)
    assert not running.done()
    await bench.renewed()
    assert (await asyncio.wait_for(running, 30)).ending is RunEnding.FINISHED


async def test_what_is_frozen_for_too_long_is_killed(tmp_path: Path) -> None:
    async with a_bench(tmp_path, freeze_max=0.5) as bench:
        running = await bench.ticking("apart")
        await bench.renewed(seconds=0.1)
        report = await asyncio.wait_for(running, 30)
        assert report.ending is RunEnding.FENCED and "lease" in report.message
        assert not lives(pid_of(bench.file))


async def test_another_epoch_kills_what_belonged_to_the_old_one(bench: Bench) -> None:
    running = await bench.ticking("apart")
    await bench.renewed(epoch=2)
    assert (await asyncio.wait_for(running, 30)).ending is RunEnding.FENCED
    assert not lives(pid_of(bench.file))


async def test_a_lost_lease_kills_before_anything_else(bench: Bench) -> None:
    running = await bench.ticking("apart")
    await bench.guard.kill()
    assert bench.guard.protection is None
    assert not lives(pid_of(bench.file))
    assert (await asyncio.wait_for(running, 30)).ending is RunEnding.FENCED


def pid_of(file: Path) -> int:
    return int(file.with_suffix(".pid").read_text())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_guard_that_is_lost_is_replaced_and_knows_all(
    bench: Bench, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that no longer answers. Held runs stay held, the others go on, and the deadline is kept."""
    monkeypatch.setattr("workers.guard_link.ANSWER_SECONDS", 3.0)
    running = await bench.ticking()
    assert await bench.runner.freeze(KEY)
    lost = bench.guard.pid
    assert lost is not None
    os.kill(lost, number)
    await bench.renewed()
    assert bench.guard.pid != lost
    await bench.silent_for(0.2)
    await bench.runner.thaw(KEY)
    await bench.ticks_after(boot_seconds())
    await bench.renewed(seconds=0.2)
    await until(lambda: bench.guard.frozen)
    await bench.silent_for(0.2)
    await bench.ends(running, RunEnding.FENCED)


# The process alone


class Alone:
    """A guard that the test speaks to."""

    def __init__(self, number: int) -> None:
        self.mark = f"{MARK_OF}-{number}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.guard", self.mark, "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.number = 0

    def ask(self, do: str, **facts: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.number += 1
        self.process.stdin.write(json.dumps({"n": self.number, "do": do, **facts}).encode() + b"\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            answer: dict[str, Any] = json.loads(line)
            if answer.get("n") == self.number:
                return answer
        raise AssertionError("the guard has ended")


def test_a_closed_pipe_kills_everything_that_bears_the_mark(tmp_path: Path) -> None:
    """Also what left its parent, its session and its group; signals do not hinder it."""
    guard, file = Alone(1), tmp_path / "ticks"
    env = {**os.environ, MARK: guard.mark}
    leader = subprocess.Popen(ticks.command(file, "apart"), env=env, start_new_session=True)
    stranger = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: f"{MARK_OF}-2"})
    assert guard.ask("deadline", at=boot_seconds() + 60, epoch=1)["ok"]
    assert guard.ask("add", run="r", pid=leader.pid, epoch=1, held=False)["ok"]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        guard.process.send_signal(number)
    assert guard.ask("hello")["ok"]
    asyncio.run(until(file.exists))
    guard.process.communicate(timeout=30)
    assert guard.process.returncode == 0
    assert leader.wait(30) == -signal.SIGKILL and not trees.living(trees.marked(guard.mark))
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_one_that_is_told_to_leave_kills_nothing() -> None:
    guard = Alone(3)
    left = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: guard.mark})
    guard.ask("deadline", at=boot_seconds() + 60, epoch=1)
    guard.ask("add", run="r", pid=left.pid, epoch=1, held=False)
    assert guard.ask("leave")["ok"]
    guard.process.communicate(timeout=30)
    assert left.poll() is None
    left.kill()
    left.wait()


def test_a_guard_rests() -> None:
    """It is small, and waits without looking. What the system does with it meanwhile (its pages go and come) is none of
    its looks, so the most restful of three moments counts."""
    guard = Alone(4)
    guard.ask("deadline", at=boot_seconds() + 60, epoch=1)
    process = psutil.Process(guard.process.pid)

    def looks() -> int:
        before, at = process.num_ctx_switches().voluntary, boot_seconds()
        asyncio.run(until(lambda: boot_seconds() > at + 0.5))
        return int(process.num_ctx_switches().voluntary - before)

    assert min(looks() for _ in range(3)) <= 1
    assert process.memory_info().rss < 40 << 20
    guard.ask("leave")
    guard.process.communicate(timeout=30)


def test_a_guard_is_there_in_a_moment() -> None:
    """It stands for a lease that goes on meanwhile. The quickest of three starts counts."""
    took = []
    for number in (5, 6, 7):
        started, guard = boot_seconds(), Alone(number)
        guard.ask("hello")
        took.append(boot_seconds() - started)
        guard.ask("leave")
        guard.process.communicate(timeout=30)
    assert min(took) < 5.0


def test_an_alarm_goes_off_at_its_moment_and_can_be_put_off() -> None:
    alarm = Alarm()
    alarm.set(boot_seconds() - 1)
    assert len(os.read(alarm.fileno(), 8)) == 8
    alarm.set(boot_seconds() + 60)
    with pytest.raises(BlockingIOError):
        os.read(alarm.fileno(), 8)
    os.close(alarm.fileno())
