"""Races over a real MongoDB and Valkey: equal keys, equal names, parents that end, cancels that meet an end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.bootstrap import open_services
from app.config import load_settings
from app.domain.errors import Conflict, Invalid
from app.domain.job import Job
from app.domain.records import JobQuery
from app.domain.specification import JobRequest
from app.domain.transitions import RunEnd, complete, fail, place, start
from app.operations.cancel import cancel
from app.operations.change import commit_all, transition
from app.operations.once import Answer, IdempotencyKey
from app.operations.submit import Submitted, submit
from app.services import Services
from tests.unit.domain.builders import a_job


@pytest.fixture
async def services(mongo_uri: str, redis_url: str, database: str) -> AsyncIterator[Services]:
    settings = load_settings({"MONGODB_URI": mongo_uri, "REDIS_URL": redis_url, "MONGODB_DATABASE": database})
    async with open_services(settings, role="api") as opened:
        yield opened


def rendered(submitted: Submitted) -> bytes:
    return submitted.job.id.encode()


async def stored(services: Services) -> list[Job]:
    return list((await services.jobs.find(JobQuery(limit=500))).jobs)


async def submitted(services: Services, digest: str, key: str = "key") -> Answer:
    return await submit(services, JobRequest("noop"), "ann", rendered, IdempotencyKey(key, digest))


async def test_equal_keys_at_once_make_one_job_and_one_answer(services: Services) -> None:
    answers = await asyncio.gather(*(submitted(services, "same", f"key-{n % 5}") for n in range(100)))
    jobs = {job.id.encode() for job in await stored(services)}
    assert len(jobs) == 5
    assert {answer.body for answer in answers} == jobs
    assert sum(not answer.replayed for answer in answers) == 5


async def test_equal_keys_at_once_with_other_bodies_are_refused_but_one(services: Services) -> None:
    answers = await asyncio.gather(*(submitted(services, f"body-{n}") for n in range(20)), return_exceptions=True)
    kinds = Counter(type(answer) for answer in answers)
    assert kinds == {Answer: 1, Invalid: 19}
    assert len(await stored(services)) == 1


async def test_names_of_equal_jobs_at_once_are_all_different(services: Services) -> None:
    await asyncio.gather(*(submit(services, JobRequest("noop"), "ann", rendered) for _ in range(100)))
    names = [job.name for job in await stored(services)]
    assert set(names) == {"noop", *(f"noop-{n}" for n in range(2, 101))}
    assert len(names) == 100


async def running(services: Services) -> Job:
    job = a_job().job
    await services.jobs.insert(job)
    for decide in (lambda j, s: place(j, "node-1", (), s), start):
        job = await transition(services, job.id, decide)
    return job


@pytest.mark.parametrize("ends", ["COMPLETED", "FAILED"])
async def test_a_parent_that_ends_while_its_children_are_inserted_forgets_none(services: Services, ends: str) -> None:
    """No reconciler runs here: either the parent's end or the child's second look must find it, exactly once."""

    async def end(parent: Job) -> None:
        decide: Any = complete if ends == "COMPLETED" else lambda j, e, s: fail(j, "error", e, s)
        await commit_all(services, [(parent, decide(parent, RunEnd(result={}), services.stamp()))])

    async def child(parent: Job) -> bytes:
        try:
            request = JobRequest("noop", dependencies=(parent.id,))
            return (await submit(services, request, "ann", rendered)).body
        except Invalid as refused:
            return refused.code.encode()

    for _ in range(30):
        parent = await running(services)
        first, *_, second = await asyncio.gather(child(parent), child(parent), end(parent), child(parent))
        for body in {first, second} - {b"dependency_failed"}:
            job = await services.jobs.get(body.decode())
            assert job is not None
            assert job.status == ("QUEUED" if ends == "COMPLETED" else "FAILED")
            assert len(job.history) == job.seq <= 2


async def test_a_cancel_that_meets_an_end_gives_one_terminal_state(services: Services) -> None:
    async def end(job: Job) -> None:
        await transition(services, job.id, lambda j, s: None if j.terminal else complete(j, RunEnd(result={}), s))

    async def cancelled(job: Job) -> str:
        try:
            return (await cancel(services, job.id, "ann", "enough")).status
        except Conflict as refused:
            return str(refused.current)

    for _ in range(30):
        job = await running(services)
        said, _ = await asyncio.gather(cancelled(job), end(job))
        after = await services.jobs.get(job.id)
        assert after is not None and after.status == "COMPLETED"
        assert said in {"RUNNING", "COMPLETED"}
        assert [entry.seq for entry in after.history] == list(range(1, after.seq + 1))


async def test_a_cancel_that_meets_a_start_is_either_at_once_or_told_to_the_node(services: Services) -> None:
    for _ in range(30):
        job = a_job().scheduled("node-1").job
        await services.jobs.insert(job)
        claim = commit_all(services, [(job, start(job, services.stamp()))])
        after, [claimed] = await asyncio.gather(cancel(services, job.id, "ann", None), claim)
        if claimed is None:
            assert after.status == "CANCELLED"
        else:
            assert (after.status, after.control is not None) == ("RUNNING", True)
