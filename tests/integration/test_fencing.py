"""What must not run is not run: without a guard, after its stop, under another epoch, when the lease is given back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.domain.errors import Invalid
from app.domain.job import Job
from app.domain.nodes import Node, NodeState
from app.domain.ports import node_lease
from app.domain.states import JobStatus
from app.domain.transitions import Change
from app.scheduler.hold_back import Look, LostNode
from app.services import Services
from tests.integration.cluster import NODE, a_command, a_worker
from tests.integration.test_reaper import CAPACITY, MINUTE, MOMENT, a_node_with_a_run, status, unhindered
from tests.support import ticks
from tests.support.liveness import lives
from tests.support.wait import once_of_three, until
from tests.unit.domain.builders import a_job
from tests.unit.workers.conftest import LIGHT, Heard, a_guard, a_step, an_order
from workers import guarding, home, supervisor, trees
from workers.boottime import boot_seconds
from workers.claims import Claims
from workers.guarding import Guarding
from workers.live import LiveRuns
from workers.run import RunEnding
from workers.runners.inline import InlineRunner
from workers.runners.nursery import Nursery
from workers.runners.process import ProcessRunner
from workers.usage import TreeWatch


@asynccontextmanager
async def a_runner(guarded: Guarding) -> AsyncIterator[tuple[ProcessRunner, InlineRunner]]:
    nursery = Nursery(LIGHT)
    await nursery.open()
    async with TreeWatch() as watch:
        inline = InlineRunner(nursery, guarded, 1.0)
        yield ProcessRunner(nursery, watch, guarded, 1.0), inline
        await inline.close()
    nursery.close()


def order_of(folder: Path, file: Path, *how: str) -> Any:
    return an_order(folder, a_step("c", ticks.command(file, *how)))


async def no_guard_can_be_had(guarded: Guarding, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object) -> None:
        raise OSError("no process can be started")

    monkeypatch.setattr(guarding.GuardLink, "open", refused)
    assert guarded.pid is not None
    os.kill(guarded.pid, signal.SIGKILL)
    await until(lambda: guarded.protection is None)


async def test_without_a_guard_nothing_runs_beyond_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None can be started any more: the worker kills its runs itself, and ends. Whoever waits for the guard goes on."""
    files = (tmp_path / name / "ticks" for name in ("first", "second", "third"))

    async def off() -> float:
        """By how much the end of the run missed the deadline, in seconds."""
        file = next(files)
        file.parent.mkdir()
        async with a_guard() as guarded, a_runner(guarded) as (runner, _):
            running = asyncio.create_task(runner.run(order_of(file.parent, file, "apart"), Heard()))
            await until(lambda: ticks.read(file))
            guarded._until = deadline = boot_seconds() + 1.5
            with monkeypatch.context() as patched:
                await no_guard_can_be_had(guarded, patched)
                renewing = asyncio.create_task(guarded.protect(1, deadline))
                report = await asyncio.wait_for(running, 30)
            assert report.ending is RunEnding.FENCED
            assert not lives(int(file.with_suffix(".pid").read_text()))
            await asyncio.wait_for(renewing, 30)
            assert not await asyncio.wait_for(guarded.hold("job_a-1"), 30)
            assert isinstance(guarded.failure, guarding.NoGuard) and guarded.protection is None
        return abs(ticks.read(file)[-1] - deadline)

    await once_of_three(off, 1.0)


@pytest.mark.parametrize("how", ["stopped meanwhile", "not guarded"])
async def test_a_run_that_may_not_begin_never_gets_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It was stopped while its process was forked, or there is no guard that it could be told to."""
    file = tmp_path / "ticks"
    async with a_guard() as guarded, a_runner(guarded) as (runner, _):
        order = order_of(tmp_path, file)
        add = guarded.add

        async def late(name: str, leader: int, clocks: Any) -> bool:
            added = await add(name, leader, clocks)
            if how == "not guarded":
                return False
            runner.stop(order.key, RunEnding.DRAINED)
            return added

        monkeypatch.setattr(guarded, "add", late)
        heard = Heard()
        report = await asyncio.wait_for(runner.run(order, heard), 60)
        assert report.ending is (RunEnding.DRAINED if how == "stopped meanwhile" else RunEnding.ERROR)
        assert not heard.knows("step_started") and not file.exists()


async def test_an_inline_run_is_sent_to_no_process_that_is_not_guarded_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_guard() as guarded, a_runner(guarded) as (_, inline):
        add, asked, go = guarded.add, asyncio.Event(), asyncio.Event()

        async def slow(name: str, leader: int, clocks: Any) -> bool:
            asked.set()
            await go.wait()
            return await add(name, leader, clocks)

        monkeypatch.setattr(guarded, "add", slow)
        orders = [an_order(tmp_path, a_step("noop"), run_no=n) for n in (1, 2)]
        runs = [asyncio.create_task(inline.run(order, Heard())) for order in orders]
        await asyncio.wait_for(asked.wait(), 60)
        late = asyncio.create_task(inline.run(an_order(tmp_path, a_step("noop"), run_no=3), Heard()))
        done, _ = await asyncio.wait([*runs, late], timeout=0.5)
        assert not done
        go.set()
        reports = await asyncio.wait_for(asyncio.gather(*runs, late), 60)
        assert {report.ending for report in reports} == {RunEnding.FINISHED}


async def test_an_inline_run_whose_process_died_before_it_began_is_lost_and_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_guard() as guarded, a_runner(guarded) as (_, inline):
        add = guarded.add

        async def dies(name: str, leader: int, clocks: Any) -> bool:
            added = await add(name, leader, clocks)
            os.kill(leader, signal.SIGKILL)
            await until(lambda: name not in guarded._wards)
            return added

        monkeypatch.setattr(guarded, "add", dies)
        report = await asyncio.wait_for(inline.run(an_order(tmp_path, a_step("noop")), Heard()), 60)
        assert report.ending is RunEnding.LOST


async def test_nothing_lives_when_the_lease_is_given_back(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that does not end in time is killed before others may take its job."""
    file = tmp_path / "ticks"
    given_back: list[bool] = []
    async with a_worker(services) as cluster:
        [job_id] = await cluster.submit(a_command(*ticks.command(file, "apart")))
        await cluster.dispatch(job_id)
        await until(lambda: ticks.read(file), 30)
        pid, give_back = int(file.with_suffix(".pid").read_text()), services.leases.give_back

        async def watched(lease: Any) -> None:
            given_back.append(pid in {p.pid for p in trees.living(psutil.process_iter())})
            await give_back(lease)

        monkeypatch.setattr(services.leases, "give_back", watched)
        monkeypatch.setattr(cluster.worker.runs, "stop_all", lambda *_: None)
        monkeypatch.setattr(supervisor, "COMMIT_SECONDS", 0.1)
        monkeypatch.setattr(supervisor, "GOODBYE_SECONDS", 2.0)
    assert given_back == [False]


async def test_a_node_that_is_back_since_its_lease_was_seen_lapsed_is_not_given_up(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has taken its lease and registered anew between two questions of the reaper: nobody would make it READY."""
    await a_node_with_a_run(services, MOMENT)
    await until(services.leases.lapsed)
    every_node = services.nodes.all

    async def back_again() -> list[Node]:
        lease = await services.leases.acquire(node_lease(NODE), NODE, MINUTE)
        assert lease is not None
        await services.nodes.register(Node(NODE, NodeState.READY, lease.epoch, {}, CAPACITY, CAPACITY))
        return await every_node()

    monkeypatch.setattr(services.nodes, "all", back_again)
    await unhindered(services).run_once()
    node = await services.nodes.get(NODE)
    assert node is not None and node.state is NodeState.READY


@pytest.mark.parametrize("epoch", [1, 2])
async def test_a_claim_that_was_answered_under_a_later_epoch_is_not_begun(services: Services, epoch: int) -> None:
    """Whoever ended the lease has taken the job; the old deadline may still be to come by this machine's clock."""
    begun: list[Job] = []
    job = a_job().scheduled(NODE).job
    await services.jobs.insert(job)
    async with a_guard() as guarded:
        claiming = Claims(services, NODE, LiveRuns(), begun.append, guarded)
        commit = services.jobs.commit

        async def late(changes: Sequence[Change]) -> Any:
            won = await commit(changes)
            await guarded.protect(epoch, boot_seconds() + 60)
            return won

        services.jobs.commit = late  # type: ignore[method-assign]
        await claiming.take([(job.id, job.run_no)])
    assert [claimed.id for claimed in begun] == ([job.id] if epoch == 1 else [])


def test_the_same_folder_and_machine_under_another_kernel_are_another_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume that moved to another host while the first is only cut off: its lock does not hold there."""
    boot = tmp_path / "boot_id"
    monkeypatch.setattr(home, "_BOOT", boot)
    holders = []
    for kernel in ("a", "b", "a"):
        boot.write_text(kernel)
        with home.NodeHome(tmp_path, NODE) as held:
            holders.append(held.holder())
    assert holders[0] == holders[2] != holders[1]


async def test_a_node_whose_jobs_cannot_be_moved_keeps_no_other_from_being_given_up(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = await a_node_with_a_run(services, MOMENT)
    assert await services.leases.acquire(node_lease("node-0"), "node-0", MOMENT) is not None
    await services.nodes.register(Node("node-0", NodeState.READY, 1, {}, CAPACITY, CAPACITY))
    await until(lambda: _both_lapsed(services))
    reaper = unhindered(services)
    give_up = reaper._give_up

    async def fails_for_one(lost: LostNode, look: Look) -> bool:
        if lost.node_id == "node-0":
            raise Invalid.one("", "this cannot be stored", code="not_storable")
        return await give_up(lost, look)

    monkeypatch.setattr(reaper, "_give_up", fails_for_one)
    await reaper.run_once()
    assert await status(services, job) is not JobStatus.RUNNING


async def _both_lapsed(services: Services) -> bool:
    return len(await services.leases.lapsed()) == 2
