"""Jobs moved by hand over the services in memory: what a scheduler and a worker would do with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.domain.job import Job, JobError
from app.domain.transitions import Change, RunEnd, complete, fail, place, retry_later, start, time_out
from app.operations.change import commit_all
from app.services import Services
from tests.support.clock import FixedClock


class Died(BaseException):
    """The process is gone: nothing that would handle a failure handles this."""


def tick(services: Services, seconds: float = 1) -> None:
    clock = services.clock
    assert isinstance(clock, FixedClock)
    clock.advance(seconds)


async def the_job(services: Services, job_id: str) -> Job:
    found = await services.jobs.get(job_id)
    assert found is not None
    return found


async def states(services: Services, *job_ids: str) -> list[str]:
    return [(await the_job(services, job_id)).status.value for job_id in job_ids]


async def moved(services: Services, job: Job, change: Change) -> Job:
    [after] = await commit_all(services, [(job, change)])
    assert after is not None
    return after


async def running(services: Services, job_id: str) -> Job:
    """The job as it runs."""
    job = await the_job(services, job_id)
    job = await moved(services, job, place(job, "node-1", (), services.stamp()))
    return await moved(services, job, start(job, services.stamp()))


async def ends(services: Services, job_id: str, how: str = "COMPLETED") -> Job:
    """The job after a run that ended so: COMPLETED, FAILED, TIMEOUT or RETRYING."""
    job = await the_job(services, job_id)
    if job.status.value != "RUNNING":
        job = await running(services, job_id)
    tick(services, 0.001)
    broken = RunEnd(error=JobError("error", "it broke"))
    made: dict[str, Any] = {
        "COMPLETED": lambda: complete(job, RunEnd(result={"metrics": {}, "steps": {}}), services.stamp()),
        "FAILED": lambda: fail(job, "error", broken, services.stamp()),
        "TIMEOUT": lambda: time_out(job, broken, services.stamp()),
        "RETRYING": lambda: retry_later(job, "error", broken, timedelta(seconds=10), services.stamp()),
    }
    return await moved(services, job, made[how]())
