"""The reaper over a real MongoDB: a renewal that comes at the worst moment, a process killed between its steps, and an
election. Each protection is first shown to be needed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from app.bootstrap import open_services
from app.config import load_settings
from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.nodes import Allocation, Node, NodeState
from app.domain.ports import Lease, node_lease
from app.domain.resources import Vector
from app.domain.states import JobStatus
from app.metrics import Metrics
from app.scheduler.hold_back import NEW_PRIMARY, STORE_AWAY, STORE_SILENT, Look, Watch
from app.scheduler.reaper import Reaper
from app.scheduler.service import SchedulerService
from app.services import Services
from app.storage.leases import MongoLeaseStore
from app.storage.mongo import connect
from tests.support.wait import until
from tests.unit.domain.builders import a_job

NODE = "node-1"
CAPACITY = Vector.from_units({"cpu_cores": 8, "memory_gb": 32, "storage_gb": 100})
MOMENT, MINUTE = timedelta(milliseconds=40), timedelta(minutes=1)
Fence = Callable[[MongoLeaseStore, str, int], Awaitable[bool]]

REAP = """
import asyncio, os, signal, sys
from app.bootstrap import open_services
from app.config import load_settings
from app.metrics import Metrics
from app.scheduler.service import SchedulerService

def die(step):
    if step == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with open_services(load_settings(), role="api") as services:
        async with SchedulerService(services, Metrics(), checkpoint=die) as scheduler:
            await scheduler.done.wait()

asyncio.run(main())
"""


@pytest.fixture
def environ(mongo_uri: str, redis_url: str, database: str) -> dict[str, str]:
    return {
        "MONGODB_URI": mongo_uri,
        "REDIS_URL": redis_url,
        "MONGODB_DATABASE": database,
        "LEASE_SECONDS": "2",
        "LEASE_BEAT_SECONDS": "0.4",
        "LEASE_MARGIN_SECONDS": "0.4",
        "SCHEDULER_INTERVAL_SECONDS": "0.2",
    }


@pytest.fixture
async def services(environ: dict[str, str]) -> AsyncIterator[Services]:
    async with open_services(load_settings(environ), role="api") as opened:
        yield opened


async def a_node_with_a_run(services: Services, term: timedelta) -> tuple[Lease, Job]:
    """A registered node whose lease lasts so long, and a job that runs on it."""
    lease = await services.leases.acquire(node_lease(NODE), NODE, term)
    assert lease is not None
    await services.nodes.register(Node(NODE, NodeState.READY, lease.epoch, {}, CAPACITY, CAPACITY))
    job = a_job().running(NODE).job
    await services.jobs.insert(job)
    assert await services.nodes.reserve(NODE, [Allocation(job.id, job.run_no, job.resources)])
    return lease, job


class Trusting(Watch):
    """Holds nothing back."""

    def seen(self, look: Look, lease: timedelta, longest_gap: timedelta) -> Watch:
        return self


def unhindered(services: Services) -> Reaper:
    """A reaper as one that has watched for long enough already."""
    reaper = Reaper(services, Metrics(), lambda: 1)
    reaper._watch = Trusting()
    return reaper


async def status(services: Services, job: Job) -> JobStatus:
    found = await services.jobs.get(job.id)
    assert found is not None
    return found.status


async def state(services: Services) -> NodeState:
    node = await services.nodes.get(NODE)
    assert node is not None
    return node.state


async def read_only(store: MongoLeaseStore, name: str, epoch: int) -> bool:
    """Not a fence: it looks whether the time is over, and ends nothing."""
    return (name, epoch) in {(lease.name, lease.epoch) for lease in await store.lapsed()}


@pytest.mark.parametrize(
    ("fence", "late", "want"),
    [
        pytest.param(MongoLeaseStore.fence, True, (False, True), id="renewal after the fence is refused"),
        pytest.param(MongoLeaseStore.fence, False, (True, False), id="renewal before the fence keeps the runs"),
        pytest.param(read_only, True, (True, True), id="control: read-then-move lets two live"),
    ],
)
async def test_a_renewal_held_back_between_the_look_and_the_move(
    services: Services, monkeypatch: pytest.MonkeyPatch, fence: Fence, late: bool, want: tuple[bool, bool]
) -> None:
    """`want`: whether the node goes on, and whether the run was given to others. Both would be two live runs."""
    lease, job = await a_node_with_a_run(services, MOMENT)
    renewals: list[Lease | None] = []

    async def meets_the_renewal(store: MongoLeaseStore, name: str, epoch: int) -> bool:
        if not late:
            renewals.append(await services.leases.renew(lease, MINUTE))
        ended = await fence(store, name, epoch)
        if late:
            renewals.append(await services.leases.renew(lease, MINUTE))
        return ended

    monkeypatch.setattr(MongoLeaseStore, "fence", meets_the_renewal)
    await until(services.leases.lapsed)
    await unhindered(services).run_once()

    goes_on = renewals[0] is not None
    given_away = await status(services, job) is not JobStatus.RUNNING
    assert (goes_on, given_away) == want


@pytest.mark.parametrize("step", ["fenced", "lost"])
async def test_a_reaper_killed_between_two_steps_is_followed_by_another(
    services: Services, environ: dict[str, str], step: str
) -> None:
    lease, job = await a_node_with_a_run(services, MOMENT)
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", REAP, step, env={**os.environ, **environ})
    assert await killed.wait() == -signal.SIGKILL
    assert await services.leases.renew(lease, MINUTE) is None
    assert await status(services, job) is JobStatus.RUNNING, "without another reaper the run stays where it was"
    assert await state(services) is (NodeState.LOST if step == "lost" else NodeState.READY)

    async with SchedulerService(services, Metrics()):
        await until(lambda: _queued_again(services, job), timeout=60)
        await until(lambda: _holds_nothing(services))

    found = await services.jobs.get(job.id)
    assert found is not None
    assert (found.infra_losses, [e.reason for e in found.history][-2:]) == (0, ["worker_lost", "retry_due"])
    assert await state(services) is NodeState.LOST


async def _holds_nothing(services: Services) -> bool:
    [node] = await services.nodes.all()
    return (node.allocations, node.free) == ((), CAPACITY)


async def _queued_again(services: Services, job: Job) -> bool:
    return await status(services, job) is JobStatus.QUEUED


async def test_after_an_election_nothing_is_reaped_for_one_lease(services: Services, mongo_uri: str) -> None:
    reaper = Reaper(services, Metrics(), lambda: 1)

    async def look() -> bool:
        try:
            await reaper.run_once()
        except Unavailable:
            return False
        return True

    await until(lambda: _calm(reaper, look), timeout=60, every=reaper.every)
    before = await services.leases.primary()
    _, job = await a_node_with_a_run(services, MINUTE)
    await _step_down(mongo_uri)
    await until(look, timeout=60, every=reaper.every)

    assert (await services.leases.primary()).election != before.election
    held = reaper.holding_back
    assert held is not None
    assert held.cause in {NEW_PRIMARY, STORE_AWAY, STORE_SILENT}
    await _let_lapse(services)
    while reaper.holding_back is not None:
        assert await status(services, job) is JobStatus.RUNNING
        await until(look, every=reaper.every)
    await until(lambda: _reaped(services, job, look), every=reaper.every)
    assert await services.leases.server_time() >= held.until


async def _calm(reaper: Reaper, look: Callable[[], Awaitable[bool]]) -> bool:
    return await look() and reaper.holding_back is None


async def _reaped(services: Services, job: Job, look: Callable[[], Awaitable[bool]]) -> bool:
    await look()
    return await status(services, job) is JobStatus.RETRYING


async def _let_lapse(services: Services) -> None:
    """The lease of the node is over, as if it had not been able to renew it during the election."""
    taken = await services.leases.acquire(node_lease(NODE), NODE, MOMENT)
    assert taken is not None
    await until(services.leases.lapsed)


async def _step_down(mongo_uri: str) -> None:
    """The only member of the set steps down, and is elected again."""
    database = connect(mongo_uri, "admin")
    try:
        await database.command("replSetStepDown", value=1, force=True)
    finally:
        await database.close()
