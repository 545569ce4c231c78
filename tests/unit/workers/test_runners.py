"""Runners with real processes: the contract that both keep, and what only a process of its own can."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.liveness import lives
from tests.support.wait import until
from tests.unit.workers.conftest import LIGHT, Heard, a_guard, a_step, an_order
from workers.run import RunEnding, Runner
from workers.runners.fork_server import ForkServer, NurseryClosed
from workers.runners.inline import InlineRunner
from workers.runners.nursery import Nursery
from workers.runners.process import ProcessRunner
from workers.usage import TreeWatch

GRACE = 30.0
"""Seconds: who heeds a stop ends long before, on a busy machine too."""
PYTHON = sys.executable


@asynccontextmanager
async def runners(grace: float = GRACE) -> AsyncIterator[tuple[ProcessRunner, InlineRunner]]:
    nursery = Nursery(LIGHT)
    await nursery.open()
    async with TreeWatch() as watch, a_guard() as guard:
        inline = InlineRunner(nursery, guard, grace)
        yield ProcessRunner(nursery, watch, guard, grace), inline
        await inline.close()
    nursery.close()


@pytest.fixture
async def process() -> AsyncIterator[ProcessRunner]:
    async with runners() as (runner, _):
        yield runner


@pytest.fixture(params=["process", "inline"])
async def runner(request: pytest.FixtureRequest) -> AsyncIterator[Runner]:
    async with runners() as (process, inline):
        yield process if request.param == "process" else inline


# What both promise


async def test_a_run_reports_its_steps_and_finishes(runner: Runner, tmp_path: Path) -> None:
    heard = Heard()
    report = await runner.run(an_order(tmp_path, a_step("noop")), heard)
    assert report.ending is RunEnding.FINISHED
    assert heard.kinds() == ["step_started", "step_finished"]


async def test_a_fault_of_the_job_is_told_in_its_words(runner: Runner, tmp_path: Path) -> None:
    report = await runner.run(an_order(tmp_path, a_step("sleep"), seconds="soon"), Heard())
    assert (report.ending, report.step) == (RunEnding.PERMANENT, "sleep")
    assert "seconds must be a number" in report.message


@pytest.mark.parametrize("reason", [RunEnding.CANCELLED, RunEnding.DRAINED])
async def test_a_run_that_heeds_its_stop_ends_at_once(runner: Runner, tmp_path: Path, reason: RunEnding) -> None:
    heard, order = Heard(), an_order(tmp_path, a_step("sleep"), seconds=60)
    running = asyncio.create_task(runner.run(order, heard))
    await until(lambda: heard.knows("step_started"), 30)
    runner.stop(order.key, reason, "told to")
    report = await asyncio.wait_for(running, GRACE)
    assert (report.ending, report.message) == (reason, "told to")


async def test_the_first_reason_stays(runner: Runner, tmp_path: Path) -> None:
    heard, order = Heard(), an_order(tmp_path, a_step("sleep"), seconds=60)
    running = asyncio.create_task(runner.run(order, heard))
    await until(lambda: heard.knows("step_started"), 30)
    runner.stop(order.key, RunEnding.CANCELLED)
    runner.stop(order.key, RunEnding.DRAINED)
    assert (await running).ending is RunEnding.CANCELLED
    runner.stop(order.key, RunEnding.CANCELLED)


@pytest.mark.parametrize(("whole", "of_step", "said"), [(3, None, "timeout of 3 s"), (60, 0.3, "timeout of 0.3 s")])
async def test_time_limits(runner: Runner, tmp_path: Path, whole: float, of_step: float | None, said: str) -> None:
    """The limit of the whole counts from before its first step: long enough for that to begin."""
    order = an_order(tmp_path, a_step("sleep", timeout=of_step), timeout=whole, seconds=60)
    report = await runner.run(order, Heard())
    assert report.ending is RunEnding.TIMEOUT
    assert said in report.message and report.step == "sleep"


async def test_many_runs_at_once_do_not_mix(runner: Runner, tmp_path: Path) -> None:
    heard = [Heard() for _ in range(8)]
    orders = [an_order(tmp_path, a_step("noop"), a_step("sleep"), run_no=n, seconds=0.01) for n in range(8)]
    reports = await asyncio.gather(*(runner.run(o, h) for o, h in zip(orders, heard, strict=True)))
    assert all(report.ending is RunEnding.FINISHED for report in reports)
    assert all(
        [line["step"] for line in h.lines if line["type"] == "step_finished"] == ["noop", "sleep"] for h in heard
    )


# What a process of its own can do


async def test_output_of_a_command_is_heard(process: ProcessRunner, tmp_path: Path) -> None:
    heard = Heard()
    command = [PYTHON, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"]
    report = await process.run(an_order(tmp_path, a_step("c", command)), heard)
    assert (report.ending, report.exit_code) == (RunEnding.ERROR, 3)
    assert sorted(heard.output.splitlines()) == [b"err", b"out"]


@pytest.mark.parametrize(("status", "ending"), [(75, RunEnding.CHECKPOINTED), (78, RunEnding.PERMANENT)])
async def test_exit_statuses_with_a_meaning(
    process: ProcessRunner, tmp_path: Path, status: int, ending: RunEnding
) -> None:
    report = await process.run(an_order(tmp_path, a_step("c", [PYTHON, "-c", f"exit({status})"])), Heard())
    assert report.ending is ending


async def test_a_run_that_eats_memory_is_ended(process: ProcessRunner, tmp_path: Path) -> None:
    hog = "x = b'1' * (300 << 20); import signal; signal.pause()"
    order = an_order(tmp_path, a_step("c", [PYTHON, "-c", hog]), memory_mib=150)
    report = await asyncio.wait_for(process.run(order, Heard()), 60)
    assert report.ending is RunEnding.OUT_OF_MEMORY
    assert "150 MiB (0.146484 GB) were allocated; ask for more memory_gb" in report.message
    assert report.peak_memory_mib is not None and report.peak_memory_mib > 150


async def test_a_small_run_fits_beside_the_shared_libraries(process: ProcessRunner, tmp_path: Path) -> None:
    report = await process.run(an_order(tmp_path, a_step("sleep"), seconds=0.6, memory_mib=32), Heard())
    assert report.ending is RunEnding.FINISHED
    assert report.peak_memory_mib is not None and report.peak_memory_mib < 32


async def test_a_run_that_ignores_its_stop_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    """One descendant stays in the group, one opens a session of its own and loses its parent."""
    started = "(setsid sleep 61 & echo $! > escaped); sleep 61 & echo $! > stayed"
    script = f"trap '' TERM; {started}; echo up; wait; sleep 61; sleep 61"
    heard, order = Heard(), an_order(tmp_path, a_step("c", ["sh", "-c", script]))
    async with runners(grace=1.0) as (process, _):
        running = asyncio.create_task(process.run(order, heard))
        await until(lambda: b"up" in heard.output)
        work_dir = Path(order.specification["work_dir"])
        pids = [int((work_dir / name).read_text()) for name in ("escaped", "stayed")]
        assert all(map(lives, pids))
        process.stop(order.key, RunEnding.CANCELLED)
        report = await asyncio.wait_for(running, 30)
        assert report.ending is RunEnding.CANCELLED
        assert not any(map(lives, pids))


async def test_what_a_crashed_run_leaves_behind_is_killed(process: ProcessRunner, tmp_path: Path) -> None:
    """The orphan hangs below the fork server then; runs beside it live on."""
    other = an_order(tmp_path, a_step("sleep"), job_id="job_b", seconds=60)
    neighbour = asyncio.create_task(process.run(other, Heard()))
    script = "setsid sleep 62 & echo $! > escaped; echo up; sleep 62"
    heard, order = Heard(), an_order(tmp_path, a_step("c", ["sh", "-c", script]))
    running = asyncio.create_task(process.run(order, heard))
    await until(lambda: b"up" in heard.output, 30)
    os.kill(process.pids()[order.key], signal.SIGKILL)
    report = await asyncio.wait_for(running, 30)
    assert (report.ending, report.signal) == (RunEnding.ERROR, signal.SIGKILL)
    assert "was killed by SIGKILL" in report.message
    assert not lives(int((Path(order.specification["work_dir"]) / "escaped").read_text()))
    assert not neighbour.done()
    process.stop(other.key, RunEnding.CANCELLED)
    assert (await neighbour).ending is RunEnding.CANCELLED


async def test_a_fenced_run_is_not_asked(process: ProcessRunner, tmp_path: Path) -> None:
    heard, order = Heard(), an_order(tmp_path, a_step("c", ["sh", "-c", "trap 'echo asked' TERM; echo up; sleep 63"]))
    running = asyncio.create_task(process.run(order, heard))
    await until(lambda: b"up" in heard.output, 30)
    process.stop(order.key, RunEnding.FENCED)
    assert (await asyncio.wait_for(running, 30)).ending is RunEnding.FENCED
    assert b"asked" not in heard.output


async def test_the_death_of_the_fork_server_is_not_the_jobs_fault(process: ProcessRunner, tmp_path: Path) -> None:
    heard, order = Heard(), an_order(tmp_path, a_step("sleep"), seconds=60)
    running = asyncio.create_task(process.run(order, heard))
    await until(lambda: heard.knows("step_started"), 30)
    psutil.Process(process.pids()[order.key]).parent().kill()
    assert (await asyncio.wait_for(running, 30)).ending is RunEnding.CRASHED
    again = await process.run(an_order(tmp_path, a_step("noop"), run_no=2), Heard())
    assert again.ending is RunEnding.FINISHED


async def test_a_lost_fork_server_is_told_from_a_child_that_exits_with_255(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the server, which has closed its pipes, is not seen dead yet."""
    monkeypatch.setattr("workers.runners.fork_server._lives", lambda _: True)
    server = ForkServer(())
    exits, sleeps = await server.fork(os._exit, 255), await server.fork(time.sleep, 600)
    assert await asyncio.wait_for(exits.ended, 30) == 255
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert await asyncio.wait_for(sleeps.ended, 30) is None
    os.kill(sleeps.pid, signal.SIGKILL)
    server.close()


async def test_a_process_that_will_not_end_after_its_last_word_is_ended(process: ProcessRunner, tmp_path: Path) -> None:
    """A background process that keeps the pipes open does not hold up the run either."""
    command = ["sh", "-c", "sleep 64 & echo $! > left; exit 0"]
    order = an_order(tmp_path, a_step("c", command))
    report = await asyncio.wait_for(process.run(order, Heard()), 30)
    assert report.ending is RunEnding.FINISHED
    assert not lives(int((Path(order.specification["work_dir"]) / "left").read_text()))


async def test_runs_do_not_import_the_main_module_again(process: ProcessRunner, tmp_path: Path) -> None:
    before = (sys.modules["__main__"].__spec__, getattr(sys.modules["__main__"], "__file__", None))
    await process.run(an_order(tmp_path, a_step("noop")), Heard())
    assert (sys.modules["__main__"].__spec__, getattr(sys.modules["__main__"], "__file__", None)) == before


async def test_a_closed_nursery_starts_nothing(tmp_path: Path) -> None:
    nursery = Nursery(LIGHT)
    nursery.close()
    async with TreeWatch() as watch, a_guard() as guard:
        with pytest.raises(NurseryClosed):
            await ProcessRunner(nursery, watch, guard, GRACE).run(an_order(tmp_path, a_step("noop")), Heard())


# What only the warm process has


async def test_the_warm_process_is_replaced_when_it_dies(tmp_path: Path) -> None:
    async with runners() as (_, inline):
        heard, order = Heard(), an_order(tmp_path, a_step("sleep"), seconds=60)
        running = asyncio.create_task(inline.run(order, heard))
        await until(lambda: heard.knows("step_started"), 30)
        assert inline._warm is not None
        os.kill(inline._warm.pid, signal.SIGKILL)
        assert (await asyncio.wait_for(running, 30)).ending is RunEnding.ERROR
        again = await inline.run(an_order(tmp_path, a_step("noop"), run_no=2), Heard())
        assert again.ending is RunEnding.FINISHED


async def test_a_process_that_cannot_be_remembered_does_not_outlive_its_run(
    process: ProcessRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full: the run ends as an error and is tried again, so nothing of it may live."""
    pids: list[int] = []

    def full(_: Path, pid: int) -> None:
        pids.append(pid)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workers.runners.process.remember_process", full)
    with pytest.raises(OSError, match="No space"):
        await process.run(an_order(tmp_path, a_step("sleep"), seconds=60), Heard())
    [pid] = pids
    assert not lives(pid)
