"""Retention: in the order of dependence, never what somebody waits for, and a crash anywhere leaves what is found."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.batch_transitions import first_entry
from app.domain.batches import Batch, BatchKind, BatchStatus
from app.domain.job import Job
from app.domain.nodes import NodeState
from app.domain.records import ArtifactInfo, LogLine, MetricPoint
from app.domain.secrets import Sealed
from app.domain.states import JobStatus
from app.domain.sweeps.trials import Trial
from app.domain.workflows.schedules import Schedule
from app.domain.workflows.state import WorkflowStatus
from app.scheduler import retention
from app.scheduler.retention import Retention
from app.storage.memory.artifacts import MemoryArtifactStore
from app.storage.memory.logs import MemoryLogStore
from app.storage.memory.metrics import MemoryMetricStore
from app.storage.memory.secrets import MemorySecretStore
from app.storage.memory.workflows import MemoryScheduleStore, MemoryWorkflowStore
from tests.support.leases import taken
from tests.unit.domain.builders import NOW, a_job
from tests.unit.scheduler.cluster import Cluster
from tests.unit.workflows.builders import new, pinned, step

DAY = timedelta(days=1)


class World(Cluster):
    """A cluster whose jobs leave things behind."""

    def __init__(self, folder: Path) -> None:
        super().__init__(RETENTION_JOBS_DAYS="10")
        self.logs, self.series, self.files = MemoryLogStore(), MemoryMetricStore(), MemoryArtifactStore()
        self.secrets = MemorySecretStore()
        self.workflows, self.schedules = MemoryWorkflowStore(), MemoryScheduleStore()
        stores = {"logs": self.logs, "metrics": self.series, "artifacts": self.files, "secrets": self.secrets}
        self.services = replace(self.services, workflows=self.workflows, schedules=self.schedules, **stores)
        self.retention = Retention(self.services)
        self._source = folder / "source"
        self._source.write_bytes(b"x")

    async def ended(self, days_ago: float) -> Job:
        """A job that ended, with a log, metrics, a file and a secret."""
        job = replace(a_job().job, status=JobStatus.COMPLETED, finished_at=NOW - days_ago * DAY)
        job = replace(job, sealed=job.id)
        await self.jobs.insert(job)
        await self.leave(job.id)
        return job

    async def leave(self, job_id: str) -> None:
        await self.logs.append(job_id, 1, [LogLine(1, NOW, None, "stdout", "hello")])
        await self.series.append(job_id, 1, [MetricPoint("loss", 1.0, 1, None, NOW)])
        digest = hashlib.sha256(b"x").hexdigest()
        for kind in ("artifact", "checkpoint"):
            info = ArtifactInfo(job_id, 1, "f", kind, 1, digest, "text/plain", NOW)
            await self.files.put(info, self._source)
        await self.services.trials.insert([Trial(f"batch_{job_id}", 0, job_id, {"C": 1.0}, NOW)])

        await self.secrets.put(Sealed(job_id, job_id, {"token": "x"}, NOW - DAY))

    async def left(self, job_id: str) -> list[bool]:
        """Whether there are: lines, points, artifacts, checkpoints, secrets, its trial, the job."""
        things: list[Any] = [await self.logs.read(job_id, 1), await self.series.read(job_id, run_no=1)]
        things += [await self.files.list(job_id, kind) for kind in ("artifact", "checkpoint")]
        things.append(await self.secrets.get(job_id))
        things.append(await self.services.trials.of(f"batch_{job_id}"))
        return [*map(bool, things), await self.jobs.get(job_id) is not None]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


ALL, NONE = [True] * 7, [False] * 7


async def test_jobs_go_with_everything_after_their_time(world: World) -> None:
    old, fresh = await world.ended(10.1), await world.ended(9.9)
    await world.retention.run_once()
    assert await world.left(old.id) == NONE
    assert await world.left(fresh.id) == ALL


async def test_what_a_waiting_job_depends_on_stays_until_that_has_ended(world: World) -> None:
    parent = await world.ended(20)
    child = await world.add(replace(a_job().job, dependencies=(parent.id,), status=JobStatus.RETRYING))
    await world.retention.run_once()
    assert await world.left(parent.id) == ALL
    await world.jobs.delete_ended([child.id], NOW)
    world.jobs._jobs[child.id] = replace(child, status=JobStatus.CANCELLED, finished_at=NOW)
    await world.retention.run_once()
    assert await world.left(parent.id) == NONE


async def test_many_that_must_stay_hide_none_that_may_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    parents = [await world.ended(30) for _ in range(7)]
    await world.add(replace(a_job().job, dependencies=tuple(p.id for p in parents)))
    others = [await world.ended(20) for _ in range(7)]
    await world.retention.run_once()
    assert [(await world.left(j.id))[-1] for j in (*parents, *others)] == [True] * 7 + [False] * 7


async def test_many_that_must_stay_hide_none_from_the_rounds_that_follow(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "BATCHES", 2)
    parents = [await world.ended(30) for _ in range(7)]
    await world.add(replace(a_job().job, dependencies=tuple(p.id for p in parents)))
    other = await world.ended(20)
    for _ in range(3):
        await world.retention.run_once()
    assert await world.left(other.id) == NONE
    assert await world.left(parents[0].id) == ALL


async def test_jobs_of_a_workflow_stay_as_long_as_that(world: World) -> None:
    """Steps after them read what they have put out, and a retry does: were they gone, the keeper would make them
    again."""
    old = await world.ended(20)
    world.jobs._jobs[old.id] = replace(old, workflow_id="wf_a", step_id="a")
    workflows = world.workflows._workflows
    definition = pinned(step("a"), step("b", "a"))
    for status, over_since in ((WorkflowStatus.RUNNING, None), (WorkflowStatus.FAILED, NOW - 9 * DAY)):
        workflow = replace(new(definition), id="wf_a", status=status, finished_at=over_since)
        workflows["wf_a"] = workflow
        await world.retention.run_once()
        assert await world.left(old.id) == ALL
    workflows["wf_a"] = replace(workflow, finished_at=NOW - 11 * DAY)
    await world.retention.run_once()
    assert await world.left(old.id) == NONE


async def test_jobs_of_a_batch_stay_as_long_as_that(world: World) -> None:
    """Its counts are counted from them, and a retry begins them again."""
    old = await world.ended(20)
    world.jobs._jobs[old.id] = replace(old, batch_id="batch_a")
    entry = first_entry(world.services.stamp())
    batches: dict[str, Batch] = world.services.batches._batches  # type: ignore[attr-defined]
    batch = Batch("batch_a", BatchKind.BATCH, "s", "default", BatchStatus.RUNNING, 1, 1, NOW, (entry,))
    for over_since in (None, NOW - 9 * DAY):
        batches["batch_a"] = replace(batch, finished_at=over_since)
        await world.retention.run_once()
        assert await world.left(old.id) == ALL
    batches["batch_a"] = replace(batch, finished_at=NOW - 11 * DAY)
    await world.retention.run_once()
    assert await world.left(old.id) == NONE


@pytest.mark.parametrize("port", ["logs", "metrics", "artifacts", "secrets", "trials"])
async def test_a_crash_at_any_point_leaves_the_job_to_be_found_again(
    world: World, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await world.ended(20)

    async def dies(*_: object) -> None:
        raise RuntimeError("killed here")

    with monkeypatch.context() as patched:
        patched.setattr(type(getattr(world.services, port)), "delete_of", dies)
        with pytest.raises(RuntimeError, match="killed here"):
            await world.retention.run_once()
    assert (await world.left(job.id))[-1], "the document is last: without it nobody would find the rest"
    await Retention(world.services).run_once()
    assert await world.left(job.id) == NONE


async def test_files_of_jobs_that_are_gone_are_found_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "FILES", 1)
    owner = await world.ended(1)
    for job_id in ("job_gone_a", "job_gone_b"):
        await world.leave(job_id)
    for _ in range(5):
        await world.retention.run_once()
    assert await world.left("job_gone_a") == await world.left("job_gone_b") == NONE
    assert await world.left(owner.id) == ALL


async def test_a_job_that_cannot_be_read_keeps_its_files(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await world.ended(1)

    async def unreadable(*_: object) -> dict[str, Job]:
        return {}

    monkeypatch.setattr(world.jobs, "get_many", unreadable)
    await world.retention.run_once()
    assert await world.left(job.id) == ALL


async def test_secrets_that_no_job_names_are_found_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "FILES", 1)
    owner = await world.ended(1)
    replaced, lost, fresh = f"{owner.id}-old", "job_never", "job_about_to_be"
    for sealed_id, age in ((replaced, DAY), (lost, DAY), (fresh, timedelta(minutes=59))):
        await world.secrets.put(Sealed(sealed_id, sealed_id.removesuffix("-old"), {"token": "x"}, NOW - age))
    for _ in range(5):
        await world.retention.run_once()
    there = [await world.secrets.get(i) is not None for i in (replaced, lost, fresh, owner.id)]
    assert there == [False, False, True, True]


async def test_nodes_lost_for_a_day_are_forgotten_and_their_epochs_go_on(world: World) -> None:
    await world.add_node("n1")
    await world.nodes.set_state("n1", NodeState.LOST, "gone", NOW - 2 * DAY)
    await world.retention.run_once()
    assert await world.nodes.all() == []
    lease = await taken(world.leases, "node:n1", "n1", DAY)
    assert lease.epoch == 2


async def test_the_secrets_of_a_sweep_stay_as_long_as_it_is_there(world: World) -> None:
    first = await world.ended(1)
    await world.secrets.put(Sealed("batch_a", first.id, {"token": "x"}, NOW - DAY))
    await world.secrets.put(Sealed("batch_gone", first.id, {"token": "x"}, NOW - DAY))
    stamp = world.services.stamp()
    entry = first_entry(stamp)
    sweep = Batch("batch_a", BatchKind.SWEEP, "s", "default", BatchStatus.RUNNING, 1, 1, NOW, (entry,))
    await world.services.batches.insert(sweep, [])
    await world.retention.run_once()
    assert await world.secrets.get("batch_a") == {"token": "x"}
    assert await world.secrets.get("batch_gone") is None


async def test_the_secrets_of_runs_and_schedules_stay_as_long_as_they_are_named(world: World) -> None:
    run = replace(new(pinned(step("a"))), id="wf_a", status=WorkflowStatus.RUNNING, sealed="wf_a-2")
    await world.workflows.insert(run)
    nightly = Schedule("wf_b", "test", "0 2 * * *", "UTC", "skip", "default", NOW, NOW, sealed="schedule:wf_b-1")
    await world.schedules.insert(nightly)
    named, unnamed = ("wf_a-2", "schedule:wf_b-1"), ("wf_a-1", "wf_b-1", "schedule:wf_b-0", "schedule:gone-1")
    for sealed_id in (*named, *unnamed):
        await world.secrets.put(Sealed(sealed_id, sealed_id.rpartition("-")[0], {"token": "x"}, NOW - DAY))
    await world.retention.run_once()
    assert [await world.secrets.get(i) is not None for i in (*named, *unnamed)] == [True] * 2 + [False] * 4
    del world.workflows._workflows["wf_a"]
    await world.schedules.delete("wf_b")
    await world.retention.run_once()
    assert [await world.secrets.get(i) for i in named] == [None, None], "they go with what named them"
