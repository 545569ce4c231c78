"""What becomes of runs when their worker stops."""

from __future__ import annotations

from app.bootstrap import open_services
from app.config import Settings
from app.domain.nodes import NodeState
from app.domain.states import JobStatus
from app.domain.transitions import start
from app.operations.change import commit_all
from app.services import Services
from tests.integration.cluster import a_sleep, a_worker, with_node
from tests.unit.domain.builders import a_job


async def test_a_stop_puts_long_runs_back_and_leaves_nothing(services: Services) -> None:
    async with a_worker(services) as cluster:
        job_ids = await cluster.submit(a_sleep(60), a_sleep(60, executor="inline"))
        await cluster.dispatch(*job_ids)
        for job_id in job_ids:
            await cluster.running(job_id)
        folder = cluster.worker._home.runs
        assert list(folder.iterdir())
    for job_id in job_ids:
        job = await cluster.job(job_id)
        assert (job.status, job.history[-1].reason) == (JobStatus.QUEUED, "drained")
    assert not list(folder.iterdir())
    node = await cluster.node()
    assert node.state is not NodeState.READY and not node.allocations


async def test_a_short_run_may_finish_before_the_stop(settings: Settings) -> None:
    async with open_services(with_node(settings, drain_grace=60), role="worker") as services:
        async with a_worker(services) as cluster:
            [job_id] = await cluster.submit(a_sleep(1, executor="inline"))
            await cluster.dispatch(job_id)
            await cluster.is_begun(job_id)
        assert (await cluster.job(job_id)).status is JobStatus.COMPLETED


async def test_a_claim_that_was_cut_off_by_the_stop_is_put_back(services: Services) -> None:
    async with a_worker(services) as cluster:
        [job_id] = await cluster.submit(a_job("noop").job)
        cluster.worker._claims.close("test")
        await cluster.dispatch(job_id)
        job = await cluster.job(job_id)
        assert cluster.worker._heart is not None
        await cluster.worker._heart.stop()  # a beat that found it first would call it lost
        await commit_all(services, [(job, start(job, services.stamp()))])
    job = await cluster.job(job_id)
    assert (job.status, job.history[-1].reason, job.attempt) == (JobStatus.QUEUED, "drained", 1)
    assert not (await cluster.node()).allocations
