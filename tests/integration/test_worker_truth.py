"""What the store says counts, whatever a message, a crash or a lost lease says."""

from __future__ import annotations

from app.domain.states import JobStatus
from app.domain.transitions import RunEnd, apply, place, requeue, start
from app.operations.change import commit_all
from app.services import Services
from tests.integration.cluster import NODE, SOON, Cluster, a_sleep, a_worker, fenced
from tests.support.wait import until
from tests.unit.domain.builders import a_job


async def test_what_no_bell_told_of_is_found_at_the_beat(cluster: Cluster) -> None:
    [job_id] = await cluster.submit(a_job("noop").job)
    await cluster.dispatch(job_id, ring=False)
    assert (await cluster.ended(job_id)).status is JobStatus.COMPLETED


async def test_a_forged_or_stale_message_starts_nothing(cluster: Cluster) -> None:
    [queued, done] = await cluster.submit(a_job("noop").job, a_job("noop").job)
    await cluster.dispatch(done)
    await cluster.ended(done)
    await cluster.services.dispatcher.dispatch(NODE, [(queued, 1), (done, 1), (done, 2), ("job_none", 1)])
    [last] = await cluster.run(a_job("noop").job)
    assert last.status is JobStatus.COMPLETED
    assert (await cluster.job(queued)).status is JobStatus.QUEUED
    assert (await cluster.job(done)).seq == 4


async def test_runs_of_a_worker_that_crashed_are_settled_at_its_return(services: Services) -> None:
    running = a_job("noop").scheduled(NODE).job
    running = apply(running, start(running, services.stamp()))
    await services.jobs.insert(running)
    async with a_worker(services) as cluster:
        job = await cluster.job(running.id)
        assert (job.status, job.history[-1].reason) == (JobStatus.RETRYING, "worker_lost")


async def test_a_job_that_says_running_and_has_no_run_is_settled_at_the_beat(cluster: Cluster) -> None:
    """Its claim was cut off, or its run was given up by an error of ours: the worker need not end for it."""
    [live] = await cluster.submit(a_sleep(60))
    await cluster.dispatch(live)
    await cluster.running(live)
    [orphan] = await cluster.submit(a_job("noop").job)
    job = await cluster.job(orphan)
    for decide in (lambda j, s: place(j, NODE, (), s), start):
        [after] = await commit_all(cluster.services, [(job, decide(job, cluster.services.stamp()))])
        assert after is not None
        job = after
    job = await cluster.ended(orphan)
    assert (job.status, job.history[-1].reason) == (JobStatus.RETRYING, "worker_lost")
    assert (await cluster.job(live)).status is JobStatus.RUNNING


async def test_a_fenced_node_kills_its_runs_and_registers_anew(cluster: Cluster) -> None:
    [job_id] = await cluster.submit(a_sleep(60))
    await cluster.dispatch(job_id)
    await cluster.running(job_id)
    before = await cluster.node()
    heart = cluster.worker._heart
    assert heart is not None
    await fenced(cluster.services, heart.lease)

    async def registered_anew() -> bool:
        return (await cluster.node()).epoch > before.epoch + 1

    await until(registered_anew, SOON)
    job = await cluster.ended(job_id)
    assert (job.status, job.history[-1].reason) == (JobStatus.RETRYING, "worker_lost")
    assert not cluster.worker.runs
    [again] = await cluster.run(a_job("noop").job)
    assert again.status is JobStatus.COMPLETED


async def test_a_run_whose_job_went_on_without_it_is_stopped(cluster: Cluster) -> None:
    """Its end is not told: the job belongs to the later run."""
    [job_id] = await cluster.submit(a_sleep(60))
    await cluster.dispatch(job_id)
    job = await cluster.running(job_id)
    [moved] = await commit_all(cluster.services, [(job, requeue(job, "drained", RunEnd(), cluster.services.stamp()))])
    assert moved is not None
    await until(lambda: not cluster.worker.runs, SOON)
    assert (await cluster.job(job_id)).seq == moved.seq
