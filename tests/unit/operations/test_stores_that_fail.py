"""What is durable is answered, whatever the stores do afterwards: away, silent, or refusing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.specification import JobRequest
from app.domain.transitions import RunEnd, complete
from app.operations import hints
from app.operations.cancel import cancel
from app.operations.change import commit_all
from app.operations.inspect import inspect
from app.operations.once import IdempotencyKey
from app.operations.submit import Submitted, preview, submit
from app.services import Services
from app.storage.memory.jobs import MemoryJobStore
from app.storage.memory.queue_index import MemoryQueueIndex
from tests.support.clock import FixedClock
from tests.unit.api.harness import FakeHealth, memory_services
from tests.unit.domain.builders import a_job


class Silent(MemoryQueueIndex):
    """A Redis that takes what it is sent and answers nothing, until it wakes."""

    def __init__(self, services: Services) -> None:
        super().__init__(services.bells)
        self.awake = asyncio.Event()

    async def enqueue(self, tickets: Any) -> Any:
        await self.awake.wait()
        return await super().enqueue(tickets)

    async def dequeue(self, job_ids: Any) -> int:
        await self.awake.wait()
        return await super().dequeue(job_ids)

    async def locate(self, job_ids: Any) -> Any:
        await self.awake.wait()
        return await super().locate(job_ids)

    async def lengths(self) -> Any:
        await self.awake.wait()
        return await super().lengths()


@pytest.fixture
def services() -> Services:
    return memory_services(FixedClock(), FakeHealth())


def rendered(submitted: Submitted) -> bytes:
    return f"{submitted.job.id} {submitted.job.name} {submitted.job.status} {submitted.position}".encode()


async def stored(services: Services, answer: bytes) -> Job:
    job = await services.jobs.get(answer.decode().split()[0])
    assert job is not None
    return job


@pytest.mark.parametrize("key", [None, IdempotencyKey("k", "digest")], ids=["plain", "keyed"])
async def test_a_silent_index_holds_up_no_submit_and_no_cancel(
    services: Services, monkeypatch: pytest.MonkeyPatch, key: IdempotencyKey | None
) -> None:
    monkeypatch.setattr(hints, "HINT_SECONDS", 0.05)
    index = Silent(services)
    services = replace(services, queue=index)
    async with asyncio.timeout(30):
        answer = await submit(services, JobRequest("noop"), "ann", rendered, key)
        job = await stored(services, answer.body)
        [view] = await inspect(services, [job])
        assert (job.status, view.place) == ("QUEUED", None)
        assert answer.body.endswith(b"None")
        assert (await cancel(services, job.id, "ann", None)).status == "CANCELLED"


class Breaking(MemoryJobStore):
    """Jobs whose look-ups by parent are not answered."""

    async def waiting_on(self, parent_ids: Any) -> list[Job]:
        raise Unavailable("MongoDB")


async def test_a_store_that_goes_away_after_the_commit_does_not_fail_the_change(services: Services) -> None:
    services = replace(services, jobs=Breaking(services.clock))
    running = a_job().running().job
    await services.jobs.insert(running)
    [after] = await commit_all(services, [(running, complete(running, RunEnd(result={}), services.stamp()))])
    assert after is not None and after.status == "COMPLETED"


class Refusing:
    """Run summaries that the store refuses for good."""

    async def insert(self, _: object) -> None:
        raise ValueError("quota exceeded")


async def test_an_effect_that_is_refused_neither_fails_the_change_nor_keeps_others_from_happening(
    services: Services,
) -> None:
    services = replace(services, runs=Refusing())  # type: ignore[arg-type]
    parent = a_job().running().job
    child = a_job(dependencies=(parent.id,), eligible=False).job
    for job in (parent, child):
        await services.jobs.insert(job)
    [after] = await commit_all(services, [(parent, complete(parent, RunEnd(result={}), services.stamp()))])
    assert after is not None and after.status == "COMPLETED"
    assert (await stored(services, child.id.encode())).status == "QUEUED"
    assert await services.queue.missing([child.id]) == []


async def test_a_submit_whose_second_look_fails_is_still_answered(services: Services) -> None:
    """The job is durable: an error here would have it submitted twice. The reconciler looks again."""

    class Once(MemoryJobStore):
        looked = 0

        async def get_many(self, job_ids: Any) -> dict[str, Job]:
            self.looked += 1
            if self.looked > 1:
                raise Unavailable("MongoDB")
            return await super().get_many(job_ids)

    services = replace(services, jobs=Once(services.clock))
    parent = a_job().running().job
    await services.jobs.insert(parent)
    answer = await submit(services, JobRequest("noop", dependencies=(parent.id,)), "ann", rendered)
    assert (answer.status, (await stored(services, answer.body)).status) == (201, "SUBMITTED")


async def test_a_preview_says_what_the_submit_then_does(services: Services) -> None:
    parent = a_job().running().job
    await services.jobs.insert(parent)
    for request in (JobRequest("sleep", {"seconds": 2}, priority=parent.priority), JobRequest("noop", name="mine")):
        foreseen = (await preview(services, request)).submitted
        answer = await submit(services, request, "ann", rendered)
        job = await stored(services, answer.body)
        assert (foreseen.job.status, foreseen.job.resources) == (job.status, job.resources)
        assert answer.body.decode().split()[-1] == str(foreseen.position)
    waiting = await preview(services, JobRequest("noop", dependencies=(parent.id,)))
    assert (waiting.submitted.job.status, waiting.submitted.position) == ("SUBMITTED", None)
