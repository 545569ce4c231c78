"""The command `tensorfleet worker` as a process: it starts, it is refused, it stops, it is killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import Process

import psutil
import redis

from app.config import Settings
from app.domain.nodes import NodeState
from app.domain.states import JobStatus
from app.services import Services
from tests.integration.cluster import NODE, Cluster, a_command
from tests.integration.worker_process import READY, a_process, by_hand, registered
from tests.support.wait import until
from tests.unit.domain.builders import a_job


async def a_live_run(cluster: Cluster) -> tuple[str, psutil.Process]:
    """A command that runs, and its process."""
    [job_id] = await cluster.submit(a_command("sh", "-c", "echo pid $$; sleep 65; sleep 65"))
    await cluster.dispatch(job_id)

    async def said() -> str | None:
        return next((line for line in await cluster.log(job_id) if line.startswith("pid ")), None)

    line = await until(said, READY, every=0.05)
    assert line is not None
    return job_id, psutil.Process(int(line.split()[1]))


async def test_a_worker_runs_a_job_and_leaves_in_peace(worker: Process, services: Services) -> None:
    cluster = by_hand(services)
    [job] = await cluster.run(a_job("noop").job)
    assert job.status is JobStatus.COMPLETED
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(worker.wait(), READY) == 0
    node = await cluster.node()
    assert node.state is not NodeState.READY


async def test_a_stopped_worker_gives_its_long_run_back(worker: Process, services: Services) -> None:
    cluster = by_hand(services)
    job_id, run = await a_live_run(cluster)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(worker.wait(), READY) == 0
    job = await cluster.job(job_id)
    assert (job.status, job.history[-1].reason) == (JobStatus.QUEUED, "drained")
    assert not lives(run)


def guards(process: psutil.Process) -> bool:
    """Whether it is the worker's guard, which sees all the others dead and then ends by itself."""
    return "workers.guard" in process.cmdline()


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


async def test_a_killed_worker_takes_its_runs_along_and_settles_at_its_return(
    worker: Process, settings: Settings, services: Services
) -> None:
    """What a command started itself may outlive the kill; the next worker ends it before it starts anything."""
    cluster = by_hand(services)
    job_id, run = await a_live_run(cluster)
    below = [child for child in psutil.Process(worker.pid).children(recursive=True) if not guards(child)]
    worker.kill()
    await until(lambda: not lives(run))
    assert (await cluster.job(job_id)).status is JobStatus.RUNNING
    async with a_process(settings):

        async def settled() -> bool:
            return (await cluster.job(job_id)).status is JobStatus.RETRYING

        await until(settled, READY, every=0.05)
        assert not [process for process in below if lives(process)]
    assert (await cluster.job(job_id)).history[-1].reason == "worker_lost"


async def test_a_second_worker_of_the_same_name_is_refused(
    worker: Process, settings: Settings, services: Services
) -> None:
    job_id, run = await a_live_run(by_hand(services))
    async with a_process(settings) as second:
        _, errors = await asyncio.wait_for(second.communicate(), READY)
        assert second.returncode == 6
        assert f"Node {NODE} is already served by pid {worker.pid}" in errors.decode()
    assert run.is_running()
    assert (await by_hand(services).job(job_id)).status is JobStatus.RUNNING
    assert (await by_hand(services).node()).state is NodeState.READY


async def test_a_worker_outlives_its_redis(worker: Process, services: Services, redis_url: str) -> None:
    """Connections are cut again and again; the process goes on and takes work when told again."""
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(3):
            client.client_kill_filter(_type="pubsub")
            client.client_kill_filter(_type="normal", skipme=True)
            client.flushall()
    [job] = await by_hand(services).run(a_job("noop").job)
    assert job.status is JobStatus.COMPLETED and worker.returncode is None


async def test_arqs_own_command_becomes_the_supervisor(settings: Settings, services: Services) -> None:
    command = (sys.executable, "-m", "arq", "workers.settings.WorkerSettings")
    async with a_process(settings, *command) as process:
        await registered(services)
        line = " ".join(psutil.Process(process.pid).cmdline())
        assert line.endswith("tensorfleet worker")
        process.terminate()
        assert await asyncio.wait_for(process.wait(), READY) == 0


async def test_a_resting_worker_is_small(worker: Process) -> None:
    """Beside the preloaded fork server, which is a process of its own."""
    assert psutil.Process(worker.pid).memory_info().rss < 120 << 20
