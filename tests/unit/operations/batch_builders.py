"""Batches over memory, as the tests of their use-cases make them."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.batch_requests import BatchRequest
from app.domain.batches import Batch, ExecutionMode
from app.domain.specification import JobRequest
from app.operations.batches.submitting import BatchSubmitted, submit_batch
from app.operations.once import IdempotencyKey
from app.services import Services
from tests.support.clock import FixedClock
from tests.support.memory import states, tick
from tests.unit.api.harness import FakeHealth, memory_services

NOOP = JobRequest("noop")
SEQUENTIAL = ExecutionMode.SEQUENTIAL


@pytest.fixture
def services() -> Services:
    return memory_services(FixedClock(), FakeHealth(), CONCURRENCY_LIMITS='{"main": 1}')


async def submitted(services: Services, *jobs: JobRequest, key: str | None = None, **fields: Any) -> BatchSubmitted:
    """A batch of these jobs, else of three."""
    made: list[BatchSubmitted] = []

    def render(batch: BatchSubmitted) -> bytes:
        made.append(batch)
        return batch.batch.id.encode()

    tick(services)
    idempotency = None if key is None else IdempotencyKey(key, "digest")
    await submit_batch(services, BatchRequest(jobs or (NOOP,) * 3, **fields), "ann", render, idempotency)
    return made[0]


def ids(made: BatchSubmitted) -> list[str]:
    return [job.id for job in made.jobs]


async def now(services: Services, made: BatchSubmitted) -> Batch:
    found = await services.batches.get(made.batch.id)
    assert found is not None
    return found


async def of(services: Services, made: BatchSubmitted) -> list[str]:
    return await states(services, *ids(made))
