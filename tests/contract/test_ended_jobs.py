"""What retention asks of jobs and nodes: the same answers over both drivers and in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from app.domain.job import Job
from app.domain.nodes import Allocation, Node, NodeState
from app.domain.ports import EndedJob
from app.domain.resources import Vector
from app.domain.states import JobStatus
from tests.contract.conftest import Stores
from tests.unit.domain.builders import NOW, a_job

HOUR = timedelta(hours=1)


def ended(hours_ago: int, status: JobStatus = JobStatus.COMPLETED) -> Job:
    return replace(a_job().job, status=status, finished_at=NOW - hours_ago * HOUR)


async def test_ended_jobs_are_told_from_the_oldest_on_in_pages(stores: Stores) -> None:
    jobs = [ended(hours, status) for hours, status in enumerate((JobStatus.FAILED, JobStatus.CANCELLED) * 3, 1)]
    for job in (*jobs, a_job().job, replace(a_job().job, status=JobStatus.QUEUED, finished_at=NOW - 9 * HOUR)):
        await stores.jobs.insert(job)
    wanted = [EndedJob(j.finished_at, j.id) for j in reversed(jobs[2:]) if j.finished_at]
    of_a_whole = replace(ended(99), batch_id="batch_a", workflow_id="wf_a")
    await stores.jobs.insert(of_a_whole)
    wanted = [EndedJob(NOW - 99 * HOUR, of_a_whole.id, "batch_a", "wf_a"), *wanted]
    moment = NOW - 2 * HOUR
    assert await stores.jobs.ended_before(moment, 10) == wanted
    assert await stores.jobs.ended_before(moment, 2) == wanted[:2]
    assert await stores.jobs.ended_before(moment, 10, wanted[1]) == wanted[2:]


async def test_jobs_of_one_instant_are_told_by_id(stores: Stores) -> None:
    jobs = sorted([ended(5) for _ in range(5)], key=lambda job: job.id)
    for job in jobs:
        await stores.jobs.insert(job)
    first = await stores.jobs.ended_before(NOW, 3)
    rest = await stores.jobs.ended_before(NOW, 3, first[-1])
    assert [e.id for e in (*first, *rest)] == [job.id for job in jobs]


async def test_parents_of_jobs_that_have_not_ended_are_known(stores: Stores) -> None:
    parents = [ended(5) for _ in range(4)]
    for job in parents:
        await stores.jobs.insert(job)
    for parent, status in zip(parents, (JobStatus.RUNNING, JobStatus.SUBMITTED, JobStatus.FAILED), strict=False):
        await stores.jobs.insert(replace(a_job().job, status=status, dependencies=(parent.id,)))
    assert await stores.jobs.depended_on([p.id for p in parents]) == {parents[0].id, parents[1].id}


async def test_only_what_has_ended_long_ago_is_deleted(stores: Stores) -> None:
    old, fresh, live = ended(5), ended(1), replace(a_job().job, finished_at=None)
    for job in (old, fresh, live):
        await stores.jobs.insert(job)
    ids = [old.id, fresh.id, live.id]
    assert await stores.jobs.delete_ended(ids, NOW - 2 * HOUR) == 1
    assert await stores.jobs.delete_ended(ids, NOW - 2 * HOUR) == 0
    assert await stores.jobs.absent([*ids, "job_x"]) == {old.id, "job_x"}


async def test_nodes_are_forgotten_a_while_after_they_were_lost(stores: Stores) -> None:
    room = Vector(4_000, 4_096, 0, 10)
    for name in ("ready", "lost", "late", "holding"):
        await stores.nodes.register(Node(name, NodeState.READY, 1, {}, room, room))
    assert await stores.nodes.reserve("holding", [Allocation("job_a", 1, Vector(1_000, 1_024, 0, 1))])
    for name, at in (("lost", NOW - 2 * HOUR), ("late", NOW), ("holding", NOW - 2 * HOUR)):
        await stores.nodes.set_state(name, NodeState.LOST, "gone", at)
    assert await stores.nodes.forget_lost(NOW - HOUR) == ["lost"]
    assert await stores.nodes.forget_lost(NOW - HOUR) == []
    assert [node.id for node in await stores.nodes.all()] == ["holding", "late", "ready"]
