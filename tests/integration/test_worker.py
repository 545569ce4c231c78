"""A whole worker over a real MongoDB and Valkey: from the doorbell to the durable end of each run."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from dataclasses import replace
from typing import Any

import pytest

from app.domain.errors import Unavailable
from app.domain.nodes import NodeState
from app.domain.states import JobStatus
from app.domain.templates import Step
from app.operations.cancel import cancel
from tests.integration.cluster import SOON, Cluster, a_command, a_sleep
from tests.support.wait import once_of_three, until
from tests.unit.domain.builders import a_job


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
    await cluster.is_free()


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


async def test_a_run_says_what_it_waits_for_when_its_files_find_no_room(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process has ended, and it is RUNNING still: the job's own log tells why."""
    room, store = asyncio.Event(), cluster.services.artifacts
    put = store.put

    async def full(*given: Any, **named: Any) -> Any:
        if not room.is_set():
            raise Unavailable("ARTIFACT_DIR") from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return await put(*given, **named)

    monkeypatch.setattr(store, "put", full)
    [job_id] = await cluster.submit(a_command("sh", "-c", 'echo data > "$TF_ARTIFACTS/out.txt"'))
    await cluster.dispatch(job_id)

    async def told() -> bool:
        return any("waiting for ARTIFACT_DIR (No space left on device)" in line for line in await cluster.log(job_id))

    await until(told, SOON)
    assert (await cluster.job(job_id)).status is JobStatus.RUNNING
    room.set()
    assert (await cluster.ended(job_id)).status is JobStatus.COMPLETED
    assert [info.name for info in await store.list(job_id)] == ["out.txt"]


async def test_a_failure_tells_its_last_lines_and_is_tried_again(cluster: Cluster) -> None:
    [job] = await cluster.run(a_command("sh", "-c", "echo first; echo broken; exit 9"))
    assert job.status is JobStatus.RETRYING and job.error is not None
    assert (job.error.exit_code, job.error.step) == (9, "command")
    assert job.error.log_tail[-1] == "broken" and job.error.fingerprint
    await cluster.is_free()


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
    await cluster.reaches(job_id, JobStatus.COMPLETED)
    assert "from-run-1" in await cluster.log(job_id)
    assert (await cluster.job(job_id)).attempt == 1


async def test_completed_steps_are_not_run_again_when_the_template_says_so(cluster: Cluster) -> None:
    once = Step("once", 60, ("sh", "-c", 'echo once; echo \'{"kept": 1}\' > "$TF_OUTPUTS"'))
    then = Step("then", 60, ("sh", "-c", 'test "$TF_RUN_NO" = 2 || exit 75'))
    job = replace(a_command("true"), steps=(once, then), resume="completed_steps")
    [job_id] = await cluster.submit(job)
    await cluster.dispatch(job_id)
    await cluster.ended(job_id)
    await cluster.dispatch(job_id)
    await cluster.reaches(job_id, JobStatus.COMPLETED)
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
    async def seconds() -> float:
        [job_id] = await cluster.submit(a_sleep(60, executor=executor))
        await cluster.dispatch(job_id)
        await cluster.running(job_id)
        asked = time.monotonic()
        await cancel(cluster.services, job_id, "ann", "enough")
        job = await cluster.ended(job_id)
        assert (job.status, job.history[-1].detail) == (JobStatus.CANCELLED, "enough")
        return time.monotonic() - asked

    await once_of_three(seconds, 1.0)


async def test_live_progress_is_written_while_a_run_lives(cluster: Cluster) -> None:
    [job_id] = await cluster.submit(a_sleep(30))
    await cluster.dispatch(job_id)
    job = await cluster.running(job_id)
    assert job.progress is not None and job.progress.step == "sleep"
    earlier = job.progress.fraction

    async def further() -> bool:
        now = (await cluster.job(job_id)).progress
        return now is not None and now.fraction > earlier

    await until(further)
    assert (await cluster.job(job_id)).seq == job.seq


async def test_many_small_jobs_at_once(cluster: Cluster) -> None:
    jobs = [a_job("noop", executor="inline").job for _ in range(300)]
    after = await cluster.run(*jobs)
    assert {job.status for job in after} == {JobStatus.COMPLETED}
    assert all(job.seq == 4 for job in after)
    await cluster.is_free()
