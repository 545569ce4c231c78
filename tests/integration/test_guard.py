"""The guard beside a real worker process: a worker that is stopped, killed, fenced; two of one name."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psutil
import pytest

from app.config import Settings
from app.domain.job import Job
from app.domain.ports import Lease, node_lease
from app.domain.states import JobStatus
from app.domain.transitions import Change, RunEnd, requeue
from app.services import Services
from tests.integration.cluster import NODE, Cluster, a_command, fenced
from tests.integration.worker_process import a_logged_process, by_hand, registered
from tests.support import ticks
from tests.support.liveness import lives
from tests.support.wait import once_of_three, until
from workers import claims
from workers.boottime import boot_seconds
from workers.home import NodeHome
from workers.supervisor import Supervisor

MARGIN = 3.0
LATE = 1.0
"""How late a process may be stopped after its deadline: far less than the margin."""


@pytest.fixture
async def worker(settings: Settings, services: Services) -> AsyncIterator[asyncio.subprocess.Process]:
    async with a_logged_process(settings) as process:
        await registered(services)
        yield process


async def ticking(services: Services, file: Path, *how: str) -> str:
    """A job that ticks."""
    cluster = by_hand(services)
    [job_id] = await cluster.submit(a_command(*ticks.command(file, *how)))
    await cluster.dispatch(job_id)
    await until(lambda: ticks.read(file), 60)
    return job_id


async def lease_until(services: Services) -> float:
    node = await services.nodes.get(NODE)
    assert node is not None and node.lease_until is not None
    return node.lease_until.timestamp()


def wall(tick: float) -> float:
    """A tick as wall clock."""
    return tick + (time.clock_gettime(time.CLOCK_REALTIME) - boot_seconds())


async def no_process(pid: int) -> None:
    await until(lambda: not lives(pid))


@pytest.mark.parametrize("how", [(), ("apart",)])
async def test_a_stopped_worker_stops_its_runs_before_its_lease_ends(
    worker: asyncio.subprocess.Process, services: Services, tmp_path: Path, how: tuple[str, ...]
) -> None:
    """Renewed under the same epoch they go on, and the job ends as if nothing had been."""
    file = tmp_path / "ticks"
    job_id = await ticking(services, file, *how)
    node = await services.nodes.get(NODE)

    async def late() -> float:
        """How long after the deadline the run ended to run, in seconds."""
        worker.send_signal(signal.SIGSTOP)
        until_ = await lease_until(services)
        await until(lambda: wall(boot_seconds()) > until_ + 1.0)
        stopped = ticks.read(file)[-1]
        worker.send_signal(signal.SIGCONT)
        await until(lambda: ticks.read(file)[-1] > stopped)
        return wall(stopped) - (until_ - MARGIN)

    await once_of_three(late, LATE)
    after = await services.nodes.get(NODE)
    job = await by_hand(services).job(job_id)
    assert node is not None and after is not None and after.epoch == node.epoch
    assert (job.status, job.run_no) == (JobStatus.RUNNING, 1)


@pytest.mark.parametrize("how", [(), ("apart",)])
async def test_nothing_of_a_killed_workers_runs_lives(
    worker: asyncio.subprocess.Process, services: Services, tmp_path: Path, how: tuple[str, ...]
) -> None:
    """At once, also what left its session and every parent."""
    file = tmp_path / "ticks"
    await ticking(services, file, *how)
    below = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    await no_process(int(file.with_suffix(".pid").read_text()))
    for process in below:
        await no_process(process.pid)


async def present_lease(services: Services, settings: Settings) -> Lease:
    """What the worker holds; its own file tells by which name."""
    node = await services.nodes.get(NODE)
    assert node is not None and node.lease_until is not None
    return Lease(node_lease(NODE), NodeHome(settings.data.directory, NODE).holder(), node.epoch, node.lease_until)


async def test_a_refused_renewal_kills_before_the_node_is_ready_again(
    worker: asyncio.subprocess.Process, settings: Settings, services: Services, tmp_path: Path
) -> None:
    file = tmp_path / "ticks"
    job_id = await ticking(services, file, "apart")
    held = await present_lease(services, settings)
    await fenced(services, held)

    async def registered_anew() -> bool:
        node = await services.nodes.get(NODE)
        return node is not None and node.epoch > held.epoch + 1

    await until(registered_anew)
    await no_process(int(file.with_suffix(".pid").read_text()))
    job = await by_hand(services).ended(job_id)
    assert (job.status, job.history[-1].reason) == (JobStatus.RETRYING, "worker_lost")


async def test_a_worker_elsewhere_with_the_name_of_a_live_one_is_refused(
    worker: asyncio.subprocess.Process,
    settings: Settings,
    services: Services,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "ticks"
    job_id = await ticking(services, file)
    async with a_logged_process(settings, DATA_DIR=str(tmp_path / "elsewhere")) as second:
        assert await second.wait() == 6
    errors = capfd.readouterr().err
    assert f"Node {NODE} is served by another worker" in errors and "NODE_ID" in errors
    seen = ticks.read(file)[-1]
    await until(lambda: ticks.read(file)[-1] > seen)
    job = await by_hand(services).job(job_id)
    assert (job.status, job.run_no) == (JobStatus.RUNNING, 1)


async def test_a_worker_elsewhere_waits_for_the_lease_of_a_dead_one(
    worker: asyncio.subprocess.Process, settings: Settings, services: Services, tmp_path: Path
) -> None:
    worker.kill()
    await worker.wait()
    lease_ends, node = await lease_until(services), await services.nodes.get(NODE)
    async with a_logged_process(settings, DATA_DIR=str(tmp_path / "elsewhere")):

        async def taken() -> bool:
            now = await services.nodes.get(NODE)
            return node is not None and now is not None and now.epoch > node.epoch

        await until(taken)
        assert wall(boot_seconds()) > lease_ends


async def test_a_restart_has_its_lease_back_at_once(settings: Settings, services: Services, tmp_path: Path) -> None:
    """And ends, before it settles anything, what bears the mark of the one before."""
    file = tmp_path / "ticks"
    async with a_logged_process(settings, LEASE_SECONDS="600") as worker:
        await registered(services)
        job_id = await ticking(services, file, "apart")
        guards = [p for p in psutil.Process(worker.pid).children() if "workers.guard" in " ".join(p.cmdline())]
        assert len(guards) == 1
        os.kill(guards[0].pid, signal.SIGSTOP)
        worker.kill()
        await worker.wait()
    ticker, lease_ends = int(file.with_suffix(".pid").read_text()), await lease_until(services)
    assert lives(ticker)
    try:
        async with a_logged_process(settings):
            job = await by_hand(services).ended(job_id)
            assert job.history[-1].reason == "worker_lost"
            assert not lives(ticker)
            assert wall(boot_seconds()) < lease_ends
    finally:
        guards[0].kill()


@pytest.mark.parametrize("moved", [True, False])
async def test_a_claim_that_was_answered_late_begins_only_what_is_still_ours(
    services: Services, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    """The deadline passed while the store kept its answer back; a reaper may have moved the job meanwhile."""
    commit_all = claims.commit_all
    begun: list[Job] = []
    claimed = asyncio.Event()
    async with Supervisor(services, NODE) as worker:

        async def late(services: Services, pairs: Sequence[tuple[Job, Change]]) -> list[Job | None]:
            won = await commit_all(services, pairs)
            claimed.set()
            told = worker._guard._told
            assert told is not None
            await worker._guard.protect(told.epoch, boot_seconds())
            monkeypatch.undo()
            if moved:
                changes = [(job, requeue(job, "drained", RunEnd(), services.stamp())) for job in won if job]
                assert all(await commit_all(services, changes))
            return won

        monkeypatch.setattr(claims, "commit_all", late)
        worker._claims._begin = begun.append
        cluster = Cluster(services, worker)
        [job_id] = await cluster.submit(a_command("true"))
        await cluster.dispatch(job_id)
        await claimed.wait()
        await until(lambda: not worker._claims._under_way)
        assert [job.id for job in begun] == ([] if moved else [job_id])
