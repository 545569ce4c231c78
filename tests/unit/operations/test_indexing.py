"""The index says what is true of a job, although the effects of its changes arrive in another order."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.control_transitions import cancel_waiting
from app.domain.job import Job
from app.domain.order_transitions import move
from app.domain.priority import Priority
from app.domain.queueing import ticket_of
from app.domain.transitions import apply
from app.operations.indexing import index_waiting
from app.services import Services
from tests.support.clock import FixedClock
from tests.unit.api.harness import FakeHealth, memory_services
from tests.unit.domain.builders import a_job


@pytest.fixture
def services() -> Services:
    return memory_services(FixedClock(), FakeHealth())


def overtaken(services: Services, by: Any) -> None:
    """The next enqueue takes so long that a whole other change is made meanwhile."""
    queue = services.queue
    enqueue = queue.enqueue

    async def slow(tickets: Any) -> Any:
        queue.enqueue = enqueue  # type: ignore[method-assign]
        await by()
        return await enqueue(tickets)

    queue.enqueue = slow  # type: ignore[method-assign]


async def test_a_job_that_left_the_queue_meanwhile_is_taken_out_again(services: Services) -> None:
    job = a_job().job
    await services.jobs.insert(job)

    async def cancelled() -> None:
        assert await services.jobs.commit([cancel_waiting(job, services.stamp(), None)]) == [True]
        await services.queue.dequeue([job.id])

    overtaken(services, cancelled)
    await index_waiting(services, [ticket_of(job)])
    assert await services.queue.locate([job.id]) == {}


async def test_a_job_that_was_moved_meanwhile_stays_where_it_was_moved(services: Services) -> None:
    job = a_job().job
    await services.jobs.insert(job)
    newer: list[Job] = []

    async def moved() -> None:
        change = move(job, 7.0, 2, 1, services.stamp(), None)
        assert await services.jobs.commit([change]) == [True]
        newer.append(apply(job, change))
        await services.queue.enqueue([ticket_of(newer[0])])

    overtaken(services, moved)
    await index_waiting(services, [ticket_of(job)])
    found = (await services.queue.find([job.id]))[job.id]
    assert (found.member.key, found.bucket.pin) == (7.0, 2)
    assert (await services.queue.lengths())[Priority.NORMAL] == 1
