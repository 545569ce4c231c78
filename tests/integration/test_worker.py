"""A whole worker over a real MongoDB and Valkey: from the doorbell to the durable end of each run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap import open_services
from app.config import Settings, load_settings
from app.domain.job import Job
from app.domain.nodes import Allocation, Node, NodeState
from app.domain.secrets import Sealed
from app.domain.states import TERMINAL, JobStatus
from app.domain.templates import Step
from app.domain.transitions import RunEnd, apply, place, requeue, start
from app.operations.cancel import cancel
from app.operations.change import commit_all
from app.services import Services
from tests.support.wait import until
from tests.unit.domain.builders import a_job
from workers.supervisor import Supervisor

NODE = "node-1"
SOON = 20.0


@pytest.fixture
def settings(mongo_uri: str, redis_url: str, database: str, tmp_path: Path) -> Settings:
    return load_settings(
        {
            "MONGODB_URI": mongo_uri,
            "REDIS_URL": redis_url,
            "MONGODB_DATABASE": database,
            "DATA_DIR": str(tmp_path),
            "NODE_CPU_CORES": "64",
            "NODE_MEMORY_GB": "256",
            "KILL_GRACE_SECONDS": "1",
            "DRAIN_GRACE_SECONDS": "0.2",
            "LEASE_SECONDS": "12",
            "LEASE_BEAT_SECONDS": "2",
            "LEASE_MARGIN_SECONDS": "3",
        }
    )


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings, role="worker") as opened:
        yield opened


@dataclass
class Cluster:
    """A worker under test, and the scheduler's part done by hand."""

    services: Services
    worker: Supervisor

    async def submit(self, *jobs: Job) -> list[str]:
        for job in jobs:
            await self.services.jobs.insert(job)
        return [job.id for job in jobs]

    async def dispatch(self, *job_ids: str, ring: bool = True) -> None:
        """Reserve, compare-and-set, ring: as the scheduler would."""
        jobs = await self.services.jobs.get_many(job_ids)
        changes = [(job, place(job, NODE, (), self.services.stamp())) for job in jobs.values()]
        placed = [job for job in await commit_all(self.services, changes) if job is not None]
        allocations = [Allocation(job.id, job.run_no, job.resources) for job in placed]
        assert await self.services.nodes.reserve(NODE, allocations)
        if ring:
            await self.services.dispatcher.dispatch(NODE, [(job.id, job.run_no) for job in placed])

    async def run(self, *jobs: Job) -> list[Job]:
        """Submit, dispatch, and wait for the run of each to end."""
        ids = await self.submit(*jobs)
        await self.dispatch(*ids)
        return [await self.ended(job_id) for job_id in ids]

    async def job(self, job_id: str) -> Job:
        job = await self.services.jobs.get(job_id)
        assert job is not None
        return job

    async def ended(self, job_id: str, timeout: float = SOON) -> Job:
        """The job when its run is over: terminal, waiting again, or about to be tried again."""

        async def over() -> Job | None:
            job = await self.job(job_id)
            return job if job.attempts or job.status in TERMINAL else None

        found = await until(over, timeout, every=0.02)
        assert found is not None
        return found

    async def running(self, job_id: str) -> Job:
        async def begun() -> Job | None:
            job = await self.job(job_id)
            return job if job.status is JobStatus.RUNNING and job.progress else None

        found = await until(begun, SOON, every=0.02)
        assert found is not None
        return found

    async def node(self) -> Node:
        node = await self.services.nodes.get(NODE)
        assert node is not None
        return node

    async def log(self, job_id: str) -> list[str]:
        return [line.text for line in await self.services.logs.read(job_id)]


@asynccontextmanager
async def a_worker(services: Services) -> AsyncIterator[Cluster]:
    async with Supervisor(services, NODE) as worker:
        yield Cluster(services, worker)


@pytest.fixture
async def cluster(services: Services) -> AsyncIterator[Cluster]:
    async with a_worker(services) as running:
        yield running


def a_command(*arguments: str, **request: Any) -> Job:
    return a_job("command", parameters={"command": list(arguments)}, **request).job


def a_sleep(seconds: float, **request: Any) -> Job:
    return a_job("sleep", parameters={"seconds": seconds}, **request).job


async def test_a_node_registers_with_what_it_advertises(cluster: Cluster) -> None:
    node = await cluster.node()
    assert (node.state, node.logical, node.capacity.cpu_millicores) == (NodeState.READY, True, 64_000)
    assert node.lease_until is not None and node.epoch >= 1


@pytest.mark.parametrize("executor", ["process", "inline"])
async def test_a_job_runs_to_its_end(cluster: Cluster, executor: str) -> None:
    [job] = await cluster.run(a_job("noop", executor=executor).job)
    assert job.status is JobStatus.COMPLETED
    assert [entry.reason for entry in job.history] == ["submitted", "placed", "started", "completed"]
    assert job.result == {"metrics": {}, "steps": {"noop": {}}}
    assert job.progress is not None and job.progress.fraction == 1.0
    assert [(step.step, step.status) for step in job.progress.steps] == [("noop", "COMPLETED")]
    await until(lambda: _all_free(cluster))


async def _all_free(cluster: Cluster) -> bool:
    node = await cluster.node()
    return not node.allocations and node.free == node.capacity


async def test_a_real_model_is_trained_and_kept(cluster: Cluster) -> None:
    request = {"parameters": {"algorithm": "decision_tree", "dataset_name": "iris"}}
    [job] = await cluster.run(a_job("ml_training", **request).job)
    assert job.status is JobStatus.COMPLETED, job.error
    assert job.result is not None and job.result["metrics"]["accuracy"] > 0.8
    names = {info.name for info in await cluster.services.artifacts.list(job.id)}
    assert {"model.skops", "report.json"} <= names
    assert await cluster.log(job.id)
    assert job.attempts[-1].peak_memory_mib is not None and job.attempts[-1].cpu_seconds is not None
    [judged] = await cluster.run(
        a_job("model_evaluation", parameters={"model": job.id, "dataset_name": "iris"}).job,
    )
    assert judged.status is JobStatus.COMPLETED, judged.error


async def test_a_model_that_is_not_there_is_a_permanent_failure(cluster: Cluster) -> None:
    [job] = await cluster.run(a_job("batch_inference", parameters={"model": "job_x", "dataset_name": "iris"}).job)
    assert job.status is JobStatus.FAILED and job.error is not None
    assert (job.error.code, job.error.message) == (
        "permanent",
        "parameters.model: job job_x has no artifacts; name a job that has trained a model",
    )


def sealed_job(*argv: str, sealed: bool = True) -> Job:
    """A command with a secret, stored apart from it."""
    job = a_command(*argv)
    value = "***" if sealed else "Geheim-1"
    own = {"parameters": {**job.parameters, "token": value}, "secrets": ("token",)}
    return replace(job, **own, sealed=job.id if sealed else None)


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "of an earlier release"])
async def test_a_secret_that_a_run_prints_is_cut_out_of_what_is_kept(cluster: Cluster, sealed: bool) -> None:
    script = (
        'cat $TF_PARAMETERS; echo; echo the token is Geheim-1 >&2; echo \'{"seen": ["Geheim-1"]}\' > "$TF_OUTPUTS";'
        'echo \'{"progress": 0.5, "text": "with Geheim-1"}\' >> "$TF_EVENTS"; exit 9'
    )
    job = sealed_job("sh", "-c", script, sealed=sealed)
    if sealed:
        await cluster.services.secrets.put(Sealed(job.id, job.id, {"token": "Geheim-1"}, job.submitted_at))
    [job] = await cluster.run(job)
    assert job.secrets == ("token",)
    log = await cluster.log(job.id)
    assert log[-1] == "the token is ***"
    assert '"token":"***"' in log[0]
    assert job.error is not None and job.error.log_tail[-1] == "the token is ***"
    assert job.progress is not None and job.progress.text == "with ***"
    assert "Geheim" not in job.error.message and "Geheim" not in str(job.history)


async def test_a_secret_in_outputs_is_cut_out_of_the_result(cluster: Cluster) -> None:
    job = sealed_job("sh", "-c", 'echo \'{"seen": ["Geheim-1", 1]}\' > "$TF_OUTPUTS"')
    await cluster.services.secrets.put(Sealed(job.id, job.id, {"token": "Geheim-1"}, job.submitted_at))
    [job] = await cluster.run(job)
    assert job.status is JobStatus.COMPLETED, job.error
    assert job.result is not None and job.result["steps"] == {"command": {"seen": ["***", 1]}}


async def test_a_job_whose_secret_is_gone_fails_and_says_so(cluster: Cluster) -> None:
    [job] = await cluster.run(sealed_job("true"))
    assert job.status is JobStatus.FAILED and job.error is not None
    assert job.error.code == "permanent"
    assert job.error.message.startswith("parameters.token: the secret is not stored any more; retry the job")


async def test_output_files_and_metrics_of_a_command(cluster: Cluster) -> None:
    script = (
        'echo hello; echo there >&2; echo data > "$TF_ARTIFACTS/out.txt"; echo \'{"rows": 3}\' > "$TF_OUTPUTS";'
        'echo \'{"progress": 0.5, "metrics": {"loss": 0.25}, "step": 7}\' >> "$TF_EVENTS"; env'
    )
    [job] = await cluster.run(a_command("sh", "-c", script))
    assert job.status is JobStatus.COMPLETED, job.error
    assert job.result == {"metrics": {"loss": 0.25}, "steps": {"command": {"rows": 3}}}
    log = await cluster.log(job.id)
    assert {"hello", "there"} <= set(log)
    assert not any("mongodb://" in line or "redis://" in line for line in log), "no credentials in a run"
    [info] = await cluster.services.artifacts.list(job.id)
    content = b"".join([block async for block in cluster.services.artifacts.read(info)])
    assert (info.name, content, info.size) == ("out.txt", b"data\n", 5)
    series = await cluster.services.metrics.read(job.id)
    assert [(point.n, point.value) for point in series["loss"]] == [(7, 0.25)]


async def test_a_failure_tells_its_last_lines_and_is_tried_again(cluster: Cluster) -> None:
    [job] = await cluster.run(a_command("sh", "-c", "echo first; echo broken; exit 9"))
    assert job.status is JobStatus.RETRYING and job.error is not None
    assert (job.error.exit_code, job.error.step) == (9, "command")
    assert job.error.log_tail[-1] == "broken" and job.error.fingerprint
    await until(lambda: _all_free(cluster))


async def test_a_checkpoint_is_handed_to_the_next_run(cluster: Cluster) -> None:
    script = (
        'test -f "$TF_CHECKPOINTS/state" && { cat "$TF_CHECKPOINTS/state"; exit 0; }; '
        'echo from-run-$TF_RUN_NO > "$TF_CHECKPOINTS/state"; exit 75'
    )
    [job_id] = await cluster.submit(a_command("sh", "-c", script))
    await cluster.dispatch(job_id)
    first = await cluster.ended(job_id)
    assert (first.status, first.history[-1].reason) == (JobStatus.QUEUED, "checkpointed")
    await cluster.dispatch(job_id)
    await until(lambda: _is(cluster, job_id, JobStatus.COMPLETED), SOON)
    assert "from-run-1" in await cluster.log(job_id)
    assert (await cluster.job(job_id)).attempt == 1


async def _is(cluster: Cluster, job_id: str, status: JobStatus) -> bool:
    return (await cluster.job(job_id)).status is status


async def test_completed_steps_are_not_run_again_when_the_template_says_so(cluster: Cluster) -> None:
    once = Step("once", 60, ("sh", "-c", 'echo once; echo \'{"kept": 1}\' > "$TF_OUTPUTS"'))
    then = Step("then", 60, ("sh", "-c", 'test "$TF_RUN_NO" = 2 || exit 75'))
    job = replace(a_command("true"), steps=(once, then), resume="completed_steps")
    [job_id] = await cluster.submit(job)
    await cluster.dispatch(job_id)
    await cluster.ended(job_id)
    await cluster.dispatch(job_id)
    await until(lambda: _is(cluster, job_id, JobStatus.COMPLETED), SOON)
    after = await cluster.job(job_id)
    assert after.result is not None and after.result["steps"]["once"] == {"kept": 1}
    assert "once" not in await cluster.log(job_id)


async def test_limits_end_a_run(cluster: Cluster) -> None:
    slow, fat = (
        a_sleep(60, timeout=0.5),
        a_command("python", "-c", "x = b'1' * (300 << 20); import signal; signal.pause()"),
    )
    fat = replace(fat, resources=replace(fat.resources, memory_mib=128))
    late, dead = await cluster.run(slow, fat)
    assert late.status is JobStatus.TIMEOUT and late.error is not None and "timeout of 0.5 s" in late.error.message
    assert dead.status is JobStatus.RETRYING and dead.history[-1].reason == "out_of_memory"


@pytest.mark.parametrize("executor", ["process", "inline"])
async def test_a_cancel_reaches_a_run_in_under_a_second(cluster: Cluster, executor: str) -> None:
    [job_id] = await cluster.submit(a_sleep(60, executor=executor))
    await cluster.dispatch(job_id)
    await cluster.running(job_id)
    await cancel(cluster.services, job_id, "ann", "enough")
    job = await cluster.ended(job_id, 1.0)
    assert (job.status, job.history[-1].detail) == (JobStatus.CANCELLED, "enough")


async def test_live_progress_is_written_while_a_run_lives(cluster: Cluster) -> None:
    [job_id] = await cluster.submit(a_sleep(30))
    await cluster.dispatch(job_id)
    job = await cluster.running(job_id)
    assert job.progress is not None and job.progress.step == "sleep"
    earlier = job.progress.fraction

    async def further() -> bool:
        now = (await cluster.job(job_id)).progress
        return now is not None and now.fraction > earlier

    await until(further, 5)
    assert (await cluster.job(job_id)).seq == job.seq


async def test_what_no_bell_told_of_is_found_at_the_beat(cluster: Cluster) -> None:
    [job_id] = await cluster.submit(a_job("noop").job)
    await cluster.dispatch(job_id, ring=False)
    assert (await cluster.ended(job_id, 6.0)).status is JobStatus.COMPLETED


async def test_a_forged_or_stale_message_starts_nothing(cluster: Cluster) -> None:
    [queued, done] = await cluster.submit(a_job("noop").job, a_job("noop").job)
    await cluster.dispatch(done)
    await cluster.ended(done)
    await cluster.services.dispatcher.dispatch(NODE, [(queued, 1), (done, 1), (done, 2), ("job_none", 1)])
    [last] = await cluster.run(a_job("noop").job)
    assert last.status is JobStatus.COMPLETED
    assert (await cluster.job(queued)).status is JobStatus.QUEUED
    assert (await cluster.job(done)).seq == 4


async def test_many_small_jobs_at_once(cluster: Cluster) -> None:
    jobs = [a_job("noop", executor="inline").job for _ in range(300)]
    after = await cluster.run(*jobs)
    assert {job.status for job in after} == {JobStatus.COMPLETED}
    assert all(job.seq == 4 for job in after)
    await until(lambda: _all_free(cluster))


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


async def test_a_short_run_may_finish_before_the_stop(services: Services) -> None:
    async with a_worker(services) as cluster:
        await cluster.run(a_sleep(0, executor="inline"))
        [job_id] = await cluster.submit(a_sleep(0.1, executor="inline"))
        await cluster.dispatch(job_id)
        await until(lambda: _is(cluster, job_id, JobStatus.RUNNING), SOON)
    assert (await cluster.job(job_id)).status is JobStatus.COMPLETED


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
    job = await cluster.ended(orphan, 6.0)
    assert (job.status, job.history[-1].reason) == (JobStatus.RETRYING, "worker_lost")
    assert (await cluster.job(live)).status is JobStatus.RUNNING


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


async def test_a_fenced_node_kills_its_runs_and_registers_anew(cluster: Cluster) -> None:
    [job_id] = await cluster.submit(a_sleep(60))
    await cluster.dispatch(job_id)
    await cluster.running(job_id)
    before = await cluster.node()
    heart = cluster.worker._heart
    assert heart is not None
    await cluster.services.leases.give_back(heart.lease)
    assert await cluster.services.leases.fence(heart.lease.name, heart.lease.epoch)

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
