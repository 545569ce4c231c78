"""What long runs need: their clocks stand while they are paused, and their work outlives the worker."""

from __future__ import annotations

import asyncio
import tarfile
from pathlib import Path

import psutil
import pytest

from app.config import Settings
from app.domain.job import Job
from app.domain.nodes import Allocation
from app.domain.states import JobStatus
from app.domain.transitions import place, retry_now
from app.operations.change import commit_all
from app.operations.pause import pause
from app.operations.resume import resume
from app.services import Services
from app.storage.mongo import Database, connect
from tests.integration.cluster import Cluster, a_command
from tests.integration.test_reaper import unhindered
from tests.integration.worker_process import a_logged_process, by_hand, registered
from tests.support.wait import until
from workers import trees
from workers.preparation import fetch
from workers.supervisor import Supervisor

OTHER = "node-2"
LIMIT = 5.0
"""The interpreter starts within it, and so does the pause."""
SOON = 60.0
"""A worker loads its libraries first."""
BUSY = (
    "import hashlib, os, sys\n"
    "open(sys.argv[1] + '.new', 'w').write(str(os.getpid()))\n"
    "os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
    "hashlib.pbkdf2_hmac('sha256', b'x', b'y', (1 << 31) - 1)\n"
)
SAVES_TWICE = (
    "import os, sys\nfrom time import sleep\n"
    "state, more = os.path.join(os.environ['TF_CHECKPOINTS'], 'state'), sys.argv[1]\n"
    "if os.path.exists(state): print('goes on from', open(state).read()); raise SystemExit(0)\n"
    "open(state, 'w').write('1')\n"
    "while not os.path.exists(more): sleep(0.05)\n"
    "open(state, 'w').write('2')\n"
    "while True: sleep(1)\n"
)


async def test_a_paused_run_uses_neither_processor_nor_time(cluster: Cluster, tmp_path: Path) -> None:
    """One call into C that lasts longer than its limit, paused for longer than the limit."""
    pid = tmp_path / "pid"
    [job_id] = await cluster.submit(a_command("python", "-c", BUSY, str(pid), timeout=LIMIT))
    await cluster.dispatch(job_id)
    await until(pid.exists)
    busy = psutil.Process(int(pid.read_text()))
    await pause(cluster.services, job_id, "ann", None)
    await until(lambda: _has(cluster, job_id, JobStatus.PAUSED))
    used = busy.cpu_times()
    with pytest.raises(AssertionError):
        await until(lambda: busy.cpu_times() != used, LIMIT + 0.5)
    assert (await cluster.job(job_id)).frozen
    await resume(cluster.services, job_id, "ann", None)
    await until(lambda: _has(cluster, job_id, JobStatus.TIMEOUT))
    assert not trees.living([busy])


async def _has(cluster: Cluster, job_id: str, status: JobStatus) -> bool:
    return (await cluster.job(job_id)).status is status


async def test_the_work_of_a_killed_worker_goes_on_elsewhere(
    settings: Settings, services: Services, mongo_uri: str, database: str, tmp_path: Path
) -> None:
    """The worker does not come back: its node is reaped, and another goes on from the newest checkpoint."""
    hand, more = by_hand(services), tmp_path / "more"
    stored = connect(mongo_uri, database)
    async with a_logged_process(settings, CHECKPOINT_SECONDS="1") as worker:
        await registered(services)
        [job_id] = await hand.submit(a_command("python", "-c", SAVES_TWICE, str(more)))
        await hand.dispatch(job_id)
        await until(lambda: _checkpoint(services, job_id, tmp_path, "1"), SOON)
        await asyncio.to_thread(more.touch)
        await until(lambda: _checkpoint(services, job_id, tmp_path, "2"), SOON)
        await until(lambda: _only_one_is_left(stored), message="the newer one is in place of the older one")
        assert (await hand.job(job_id)).status is JobStatus.RUNNING
        worker.kill()
        await worker.wait()
    await until(services.leases.lapsed, SOON)
    await unhindered(services).run_once()
    lost = await hand.job(job_id)
    assert (lost.status, lost.history[-1].reason) == (JobStatus.RETRYING, "worker_lost")
    async with Supervisor(services, OTHER):
        await _dispatch_to(services, OTHER, lost)
        await until(lambda: _has(hand, job_id, JobStatus.COMPLETED), SOON)
        assert "goes on from 2" in await hand.log(job_id)
        await until(lambda: _nothing_is_left(stored))
    done = await hand.job(job_id)
    assert (done.attempt, done.run_no, done.node_id) == (1, 2, OTHER)
    await stored.close()


async def _checkpoint(services: Services, job_id: str, folder: Path, content: str) -> bool:
    for info in await services.artifacts.list(job_id, "checkpoint"):
        with tarfile.open(await fetch(services, info, folder / "seen")) as tar:
            member = tar.extractfile("checkpoints/state")
            assert member is not None
            return member.read().decode() == content
    return False


async def _files(stored: Database) -> tuple[int, int]:
    return (
        await stored["artifacts.files"].count_documents({}),
        await stored["artifacts.chunks"].count_documents({"n": 0}),
    )


async def _only_one_is_left(stored: Database) -> bool:
    return await _files(stored) == (1, 1)


async def _nothing_is_left(stored: Database) -> bool:
    return await _files(stored) == (0, 0)


async def _dispatch_to(services: Services, node_id: str, job: Job) -> None:
    for decide in (retry_now, lambda j, s: place(j, node_id, (), s)):
        [after] = await commit_all(services, [(job, decide(job, services.stamp()))])
        assert after is not None
        job = after
    assert await services.nodes.reserve(node_id, [Allocation(job.id, job.run_no, job.resources)])
    await services.dispatcher.dispatch(node_id, [(job.id, job.run_no)])
