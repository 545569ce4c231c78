"""A whole worker over a real MongoDB and Valkey, and the scheduler's part done by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.config import Settings
from app.domain.job import Job
from app.domain.nodes import Allocation, Node
from app.domain.ports import Lease
from app.domain.retry import RetryPolicy
from app.domain.states import TERMINAL, JobStatus
from app.domain.transitions import place
from app.operations.change import commit_all
from app.services import Services
from tests.support.wait import until
from tests.unit.domain.builders import a_job
from workers.supervisor import Supervisor

NODE = "node-1"
EVERY = RetryPolicy(retry_on=("error", "timeout", "worker_lost", "out_of_memory"), retry_delay=600)
"""Everything is tried again, much later."""
SOON = 60.0


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

    async def begin(self, job: Job) -> str:
        """Submit, dispatch, and wait until the run has begun; the id."""
        [job_id] = await self.submit(job)
        await self.dispatch(job_id)
        await self.is_begun(job_id)
        return job_id

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

    async def is_begun(self, job_id: str) -> None:
        """Wait until the run of a job that was dispatched has begun; it may be over by then."""

        async def no_longer_waits() -> bool:
            return (await self.job(job_id)).status is not JobStatus.SCHEDULED

        await until(no_longer_waits, SOON, every=0.02)

    async def reaches(self, job_id: str, status: JobStatus) -> None:
        async def there() -> bool:
            return (await self.job(job_id)).status is status

        await until(there, SOON)

    async def is_free(self) -> None:
        """Wait until no run holds anything of the node."""

        async def all_free() -> bool:
            node = await self.node()
            return not node.allocations and node.free == node.capacity

        await until(all_free)

    async def node(self) -> Node:
        node = await self.services.nodes.get(NODE)
        assert node is not None
        return node

    async def log(self, job_id: str) -> list[str]:
        return [line.text for line in await self.services.logs.read(job_id)]


def with_node(settings: Settings, **changed: float) -> Settings:
    """The settings, with other seconds of these names for the node."""
    node = settings.node.model_copy(update={name: timedelta(seconds=value) for name, value in changed.items()})
    return settings.model_copy(update={"node": node})


@asynccontextmanager
async def a_worker(services: Services) -> AsyncIterator[Cluster]:
    async with Supervisor(services, NODE) as worker:
        yield Cluster(services, worker)


async def fenced(services: Services, held: Lease) -> None:
    """As the reaper does to a node whose lease has ended."""

    async def ended_and_fenced() -> bool:
        """The worker's beat may come between the two, and renew."""
        await services.leases.give_back(held)
        return await services.leases.fence(held.name, held.epoch)

    await until(ended_and_fenced)


def a_command(*arguments: str, **request: Any) -> Job:
    return a_job("command", parameters={"command": list(arguments)}, **request).job


def a_sleep(seconds: float, **request: Any) -> Job:
    return a_job("sleep", parameters={"seconds": seconds}, **request).job
