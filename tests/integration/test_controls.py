"""Controls, checkpoints and drains of real runs: a whole worker over a real MongoDB and Valkey."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap import open_services
from app.config import Settings
from app.domain.job import Job
from app.domain.nodes import NodeState
from app.domain.states import JobStatus
from app.domain.transitions import retry_now
from app.operations.cancel import cancel
from app.operations.change import commit_all
from app.operations.drain import drain_node, give_up_node, have_node_back, resume_node
from app.operations.pause import pause
from app.operations.resume import resume
from app.operations.retry import retry
from app.services import Services
from tests.integration.cluster import EVERY, NODE, SOON, Cluster, a_command, a_sleep, a_worker, with_node
from tests.integration.worker_process import a_logged_process, by_hand, registered
from tests.support import ticks
from tests.support.liveness import lives
from tests.support.wait import once_of_three, until
from tests.unit.domain.builders import a_job

BEAT = 2.0
START = 60.0
"""The first run waits until the fork server has loaded its libraries."""
GRACE = 1.0


@pytest.fixture
async def patient(settings: Settings) -> AsyncIterator[Cluster]:
    """A worker whose runs have long to save what they have."""
    async with (
        open_services(with_node(settings, kill_grace=30), role="worker") as services,
        a_worker(services) as cluster,
    ):
        yield cluster


async def reached(cluster: Cluster, job_id: str, status: JobStatus, timeout: float = SOON) -> Job:
    async def there() -> Job | None:
        job = await cluster.job(job_id)
        return job if job.status is status else None

    found = await until(there, timeout, every=0.02, message=f"the job is {status}")
    assert found is not None
    return found


async def ticking(cluster: Cluster, file: Path, *how: str, **request: Any) -> str:
    job_id = await cluster.begin(a_command(*ticks.command(file, *how), **request))
    await until(lambda: ticks.read(file), START)
    return job_id


async def stands(file: Path) -> bool:
    before = len(ticks.read(file))
    with pytest.raises(AssertionError):
        await until(lambda: len(ticks.read(file)) > before, 0.3)
    return True


async def goes_on(file: Path) -> None:
    before = len(ticks.read(file))
    await until(lambda: len(ticks.read(file)) > before)


def reasons(job: Job) -> list[str]:
    return [entry.reason for entry in job.history]


# Pause, resume, release


@pytest.mark.parametrize("how", [(), ("apart",)], ids=["in its group", "in a session of its own"])
async def test_a_pause_stops_the_whole_tree_and_a_resume_lets_it_go_on(
    cluster: Cluster, tmp_path: Path, how: tuple[str, ...]
) -> None:
    job_id = await ticking(cluster, tmp_path / "ticks", *how)
    await pause(cluster.services, job_id, "ann", "lunch")
    job = await reached(cluster, job_id, JobStatus.PAUSED)
    assert job.frozen and (await cluster.node()).allocations, "it keeps its node and its resources"
    assert await stands(tmp_path / "ticks")
    await resume(cluster.services, job_id, "ann", None)
    await reached(cluster, job_id, JobStatus.RUNNING)
    await goes_on(tmp_path / "ticks")
    await cancel(cluster.services, job_id, "ann", None)
    await reached(cluster, job_id, JobStatus.CANCELLED)


async def test_a_frozen_run_is_cancelled_with_its_whole_tree(cluster: Cluster, tmp_path: Path) -> None:
    job_id = await ticking(cluster, tmp_path / "ticks", "apart")
    await pause(cluster.services, job_id, "ann", None)
    await reached(cluster, job_id, JobStatus.PAUSED)
    await cancel(cluster.services, job_id, "ann", "enough")
    job = await reached(cluster, job_id, JobStatus.CANCELLED)
    assert not lives(int((tmp_path / "ticks.pid").read_text()))
    assert (job.history[-1].actor, job.history[-1].detail) == ("ann", "enough")


SAVES = (
    "import os, signal, sys\n"
    "state = os.path.join(os.environ['TF_CHECKPOINTS'], 'state')\n"
    "if os.path.exists(state): print('goes on from', open(state).read()); sys.exit(0)\n"
    "def save(*_): open(state, 'w').write('17'); sys.exit(75)\n"
    "signal.signal(signal.SIGTERM, save)\n"
    "print('up', flush=True)\n"
    "while True: signal.pause()\n"
)


async def said(cluster: Cluster, job_id: str, text: str) -> None:
    async def there() -> bool:
        return text in await cluster.log(job_id)

    await until(there, START)


async def test_a_release_keeps_the_checkpoint_and_frees_the_node(patient: Cluster) -> None:
    job_id = await patient.begin(a_command("python", "-c", SAVES))
    await said(patient, job_id, "up")
    await pause(patient.services, job_id, "ann", "make room", release=True)
    job = await reached(patient, job_id, JobStatus.PAUSED)
    assert job.released and job.checkpoint == "checkpoint-1.tar" and job.attempt == 1
    assert job.history[-1].detail == "make room; checkpoint checkpoint-1.tar is kept"
    await patient.is_free()
    await resume(patient.services, job_id, "ann", None)
    await patient.dispatch(job_id)
    await reached(patient, job_id, JobStatus.COMPLETED)
    assert "goes on from 17" in await patient.log(job_id)


async def test_a_run_that_stands_frozen_for_too_long_is_released(settings: Settings, tmp_path: Path) -> None:
    async with (
        open_services(with_node(settings, pause_hold=1), role="worker") as services,
        a_worker(services) as cluster,
    ):
        job_id = await ticking(cluster, tmp_path / "ticks")
        await pause(services, job_id, "ann", None)
        await reached(cluster, job_id, JobStatus.PAUSED)

        async def released() -> bool:
            return (await cluster.job(job_id)).released

        await until(released, SOON)
        detail = (await cluster.job(job_id)).history[-1].detail
    assert detail is not None and "frozen" in detail and detail.endswith("no checkpoint: it will start over")


# Cancel


async def test_a_job_is_cancelled_only_when_nothing_of_it_lives(cluster: Cluster) -> None:
    """A tree that ignores its stop, one of it in a session of its own."""
    script = "trap '' TERM; (trap '' TERM; setsid sleep 63 & echo $!); echo up; while :; do sleep 0.1; done"
    job_id = await cluster.begin(a_command("sh", "-c", script))
    await said(cluster, job_id, "up")
    escaped = int(next(line for line in await cluster.log(job_id) if line.isdigit()))
    assert lives(escaped)
    await cancel(cluster.services, job_id, "ann", None)
    await reached(cluster, job_id, JobStatus.CANCELLED)
    assert not lives(escaped)


async def test_with_redis_away_a_cancel_takes_a_beat(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = cluster.services.bells.ring

    async def away(_: str) -> None:
        return

    async def seconds() -> float:
        monkeypatch.setattr(cluster.services.bells, "ring", ring)
        job_id = await cluster.begin(a_sleep(60))
        monkeypatch.setattr(cluster.services.bells, "ring", away)
        asked = time.monotonic()
        await cancel(cluster.services, job_id, "ann", None)
        await reached(cluster, job_id, JobStatus.CANCELLED)
        return time.monotonic() - asked

    await once_of_three(seconds, BEAT + 1.5)


async def test_a_cancel_is_honoured_by_whoever_settles_the_job(services: Services) -> None:
    job = a_job("noop").running(NODE).job
    await services.jobs.insert(job)
    await cancel(services, job.id, "ann", "enough")
    async with a_worker(services) as cluster:
        after = await cluster.job(job.id)
    assert (after.status, after.history[-1].actor, after.infra_losses) == (JobStatus.CANCELLED, "ann", 0)


async def test_what_was_cancelled_once_does_not_cancel_a_later_run(cluster: Cluster) -> None:
    first = await cluster.begin(a_sleep(60))
    await cancel(cluster.services, first, "ann", None)
    await reached(cluster, first, JobStatus.CANCELLED)
    await retry(cluster.services, first, "ann", None)
    await cluster.dispatch(first)
    job = await cluster.running(first)
    await cluster.worker._controls.look()
    assert (await cluster.job(first)).status is JobStatus.RUNNING and job.run_no == 2 and job.control is None


# Checkpoints


WRITES = (
    "import os, signal\n"
    "state = os.path.join(os.environ['TF_CHECKPOINTS'], 'state')\n"
    "if os.path.exists(state): print('goes on from', open(state).read()); raise SystemExit(0)\n"
    "open(state, 'w').write('17'); print('up', flush=True)\n"
)


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "error"),
        ("os.kill(os.getppid(), signal.SIGKILL); signal.pause()", "error"),
        ("x = b'1' * (600 << 20); signal.pause()", "out_of_memory"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()", "timeout"),
    ],
    ids=["itself killed", "its run killed", "out of memory", "timeout"],
)
async def test_the_checkpoint_of_a_run_that_was_killed_is_kept(cluster: Cluster, then: str, reason: str) -> None:
    limit = 6 if reason == "timeout" else 600  # the interpreter starts within it, too
    job = replace(a_command("python", "-c", WRITES + then, timeout=limit), retry_policy=EVERY)
    job_id = await cluster.begin(replace(job, resources=replace(job.resources, memory_mib=256)))
    after = await cluster.ended(job_id)
    assert (after.status, after.history[-1].reason) == (JobStatus.RETRYING, reason)
    assert after.checkpoint == "checkpoint-1.tar"


@pytest.mark.slow
async def test_a_killed_worker_loses_little_of_the_work(settings: Settings, services: Services) -> None:
    """The command's folder came to rest and was stored while it ran; the next run has it from the store."""
    hand = by_hand(services)
    async with a_logged_process(settings) as first:
        await registered(services)
        [job_id] = await hand.submit(a_command("python", "-c", WRITES + "signal.pause()"))
        await hand.dispatch(job_id)
        await until(lambda: _stored(services, job_id), SOON)
        first.kill()
        await first.wait()
    async with a_worker(services) as cluster:
        lost = await reached(cluster, job_id, JobStatus.RETRYING)
        assert (lost.history[-1].reason, lost.infra_losses) == ("worker_lost", 1)
        [queued] = await _retry_now(cluster, lost)
        await cluster.dispatch(queued)
        await reached(cluster, job_id, JobStatus.COMPLETED)
        assert "goes on from 17" in await cluster.log(job_id)


async def _stored(services: Services, job_id: str) -> bool:
    return bool(await services.artifacts.list(job_id, "checkpoint"))


async def _retry_now(cluster: Cluster, job: Job) -> list[str]:
    [after] = await commit_all(cluster.services, [(job, retry_now(job, cluster.services.stamp()))])
    assert after is not None
    return [after.id]


# Drain and rolling restarts


async def test_on_a_node_that_the_fleet_gives_up_runs_end_by_themselves(cluster: Cluster) -> None:
    """The next test is its control: there a run that takes as long is sent away after the grace."""
    job_id = await cluster.begin(a_sleep(GRACE + 2, executor="inline"))
    assert await give_up_node(cluster.services, NODE)
    await until(lambda: cluster.worker._claims.closed)
    job = await reached(cluster, job_id, JobStatus.COMPLETED)
    assert (job.run_no, reasons(job)[-1]) == (1, "completed")
    await cluster.is_free()
    assert (await cluster.node()).state is NodeState.DRAINING
    assert await have_node_back(cluster.services, NODE)
    await until(lambda: not cluster.worker._claims.closed)


async def test_a_drained_node_empties_itself_and_takes_work_again(patient: Cluster) -> None:
    quick, long, frozen = (a_sleep(0.5, executor="inline"), a_command("python", "-c", SAVES), a_sleep(60))
    quick_id, long_id, frozen_id = [await patient.begin(job) for job in (quick, long, frozen)]
    await said(patient, long_id, "up")
    await pause(patient.services, frozen_id, "ann", None)
    await reached(patient, frozen_id, JobStatus.PAUSED)
    await drain_node(patient.services, NODE, "ann", "new kernel")
    job = await reached(patient, long_id, JobStatus.QUEUED)
    assert (job.history[-1].reason, job.attempt, job.checkpoint) == ("drained", 1, "checkpoint-1.tar")

    async def released() -> bool:
        return (await patient.job(frozen_id)).released

    await until(released, SOON)
    await patient.is_free()
    assert (await patient.node()).state is NodeState.DRAINING and patient.worker._claims.closed
    await resume_node(patient.services, NODE, "ann", None)
    await until(lambda: not patient.worker._claims.closed)
    await patient.dispatch(long_id)
    await reached(patient, long_id, JobStatus.COMPLETED)
    assert (await patient.job(quick_id)).status in {JobStatus.COMPLETED, JobStatus.QUEUED}


COUNTS = (
    "import os, signal, sys\n"
    "state = os.path.join(os.environ['TF_CHECKPOINTS'], 'state')\n"
    "n = int(open(state).read()) if os.path.exists(state) else 0\n"
    "def save(*_): open(state, 'w').write(str(n + 1)); sys.exit(75)\n"
    "signal.signal(signal.SIGTERM, save)\n"
    "print('up', n, flush=True)\n"
    "if n == 5: sys.exit(0)\n"
    "while True: signal.pause()\n"
)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_rolling_restarts_use_no_attempt_and_lose_nothing(settings: Settings, services: Services) -> None:
    """F5: SIGTERM five times during one long job."""
    hand = by_hand(services)
    [job_id] = await hand.submit(a_command("python", "-c", COUNTS))
    for n in range(6):
        async with a_logged_process(settings, DRAIN_GRACE_SECONDS="0.1") as process:
            await registered(services)
            await hand.dispatch(job_id)
            await said(hand, job_id, f"up {n}")
            if n == 5:
                await reached(hand, job_id, JobStatus.COMPLETED)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) == 0
    job = await hand.job(job_id)
    assert job.status is JobStatus.COMPLETED
    assert (job.attempt, job.infra_losses, job.run_no) == (1, 0, 6)
    assert reasons(job).count("drained") == 5
