"""The scheduler over a real MongoDB and Valkey: cycles, two leaders, a lost index, and a process killed at each step.

Each repair is first shown to be needed: the same situation without the reconciler stays wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from app.bootstrap import open_services
from app.config import Settings, load_settings
from app.domain.job import SUSPECT_AFTER, Job
from app.domain.nodes import Allocation, Node, NodeState
from app.domain.ports import node_lease
from app.domain.queueing import ticket_of
from app.domain.resources import Vector
from app.domain.states import JobStatus
from app.metrics import Metrics
from app.scheduler.cycle import Cycle
from app.scheduler.reconciler import Reconciler
from app.scheduler.service import SchedulerService
from app.services import Services
from tests.integration.conftest import have_time
from tests.support.leases import taken
from tests.support.wait import until
from tests.unit.domain.builders import a_job

NODE = "node-1"
SMALL = {"cpu_cores": 1, "memory_gb": 1, "gpu_count": 0, "storage_gb": 0}
CAPACITY = Vector.from_units({"cpu_cores": 64, "memory_gb": 256, "gpu_count": 0, "storage_gb": 1000})

RUN_A_CYCLE = """
import asyncio, os, signal, sys
from app.bootstrap import open_services
from app.config import load_settings
from app.metrics import Metrics
from app.scheduler.cycle import Cycle

def die(step):
    if step == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with open_services(load_settings(), role="api") as services:
        await Cycle(services, Metrics(), die).run_once()

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _nodes_have_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node here starts what is sent to it: the reconciler would soon take it back, and send it anew."""
    have_time(monkeypatch)


@pytest.fixture
def environ(mongo_uri: str, redis_url: str, database: str) -> dict[str, str]:
    return {
        "MONGODB_URI": mongo_uri,
        "REDIS_URL": redis_url,
        "MONGODB_DATABASE": database,
        "MAX_CONCURRENT_JOBS": "0",
        "RECONCILE_SECONDS": "0.2",
        "SCHEDULER_INTERVAL_SECONDS": "0.2",
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    return load_settings(environ)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings, role="api") as opened:
        yield opened


async def add_node(services: Services, node_id: str = NODE, capacity: Vector = CAPACITY) -> None:
    lease = await taken(services.leases, node_lease(node_id), node_id, timedelta(minutes=5))
    await services.nodes.register(Node(node_id, NodeState.READY, lease.epoch, {}, capacity, capacity))


async def add_jobs(services: Services, count: int, *, indexed: bool = True) -> list[Job]:
    jobs = [a_job(name=f"j{n}", resources=SMALL).job for n in range(count)]
    await asyncio.gather(*(services.jobs.insert(job) for job in jobs))
    if indexed:
        await services.queue.enqueue([ticket_of(job) for job in jobs])
    return jobs


async def states(services: Services, jobs: list[Job]) -> Counter[str]:
    found = await services.jobs.get_many([j.id for j in jobs])
    return Counter(job.status.value for job in found.values())


async def held(services: Services) -> list[tuple[str, int]]:
    return sorted((a.job_id, a.run_no) for n in await services.nodes.all() for a in n.allocations)


async def messages(services: Services) -> list[tuple[str, int]]:
    """Every assignment that waits at the node's doorbell."""
    async with Redis.from_url(services.settings.queue.redis_url or "") as redis:
        keys = [key async for key in redis.scan_iter("arq:job:*")]
        payloads = [await redis.get(key) for key in keys]
    found: list[tuple[str, int]] = []
    for payload in payloads:
        found += [(job_id, run_no) for job_id, run_no in _assignments(json.loads(payload or b"{}"))]
    return sorted(found)


def _assignments(node: Any) -> list[list[Any]]:
    """The pairs under `assignments`, wherever arq put the message."""
    if isinstance(node, dict):
        return node["assignments"] if "assignments" in node else [p for v in node.values() for p in _assignments(v)]
    if isinstance(node, list):
        return [p for v in node for p in _assignments(v)]
    return []


async def test_waiting_jobs_get_their_places_and_their_node_is_told(services: Services) -> None:
    await add_node(services, capacity=Vector.from_units({"cpu_cores": 3, "memory_gb": 8, "storage_gb": 10}))
    jobs = await add_jobs(services, 5)

    outcome = await Cycle(services, Metrics()).run_once()

    assert outcome.placed == 3
    assert await states(services, jobs) == {"SCHEDULED": 3, "QUEUED": 2}
    assert await held(services) == await messages(services) == [(j.id, 1) for j in jobs[:3]]
    board = await services.queue.board()
    assert board is not None
    assert [r.code for reasons in board.verdicts.values() for r in reasons] == ["resources"]


async def test_two_schedulers_at_once_place_each_job_once(services: Services) -> None:
    await add_node(services, "node-1")
    await add_node(services, "node-2")
    jobs = await add_jobs(services, 120)
    cycles = [Cycle(services, Metrics()) for _ in range(2)]

    for _ in range(4):
        await asyncio.gather(*(c.run_once() for c in cycles))

    found = await services.jobs.get_many([j.id for j in jobs])
    running = {(j.id, j.run_no, j.node_id) for j in found.values() if j.status is JobStatus.SCHEDULED}
    allocated = {(a.job_id, a.run_no, n.id) for n in await services.nodes.all() for a in n.allocations}
    assert {j.run_no for j in found.values()} <= {0, 1}
    assert running <= allocated
    for node in await services.nodes.all():
        assert node.allocated.fits(node.capacity)


async def test_a_flushed_index_is_whole_again_and_nothing_is_lost(
    services: Services, environ: dict[str, str], redis_url: str
) -> None:
    patient = replace(services, settings=load_settings({**environ, "RECONCILE_SECONDS": "3"}))
    jobs = await add_jobs(services, 1_000)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    await add_node(services, capacity=Vector.from_units({"cpu_cores": 2_000, "memory_gb": 2_000, "storage_gb": 1}))

    await Cycle(services, Metrics()).run_once()
    assert await states(services, jobs) == {"QUEUED": 1_000}, "without the reconciler nobody finds them"

    async with SchedulerService(patient, Metrics()):
        await until(lambda: _all(services, jobs, "SCHEDULED"), timeout=60)
        assert len(await held(services)) == 1_000


async def _all(services: Services, jobs: list[Job], state: str) -> bool:
    return await states(services, jobs) == {state: len(jobs)}


@pytest.mark.parametrize("step", ["reserved", "placed", "dispatched"])
async def test_a_scheduler_killed_at_any_step_leaks_and_loses_nothing(
    services: Services, environ: dict[str, str], redis_url: str, step: str
) -> None:
    await add_node(services)
    jobs = await add_jobs(services, 3)
    runs = [(j.id, 1) for j in jobs]

    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN_A_CYCLE, step, env={**os.environ, **environ}
    )
    assert await killed.wait() == -signal.SIGKILL
    assert await held(services) == runs
    assert await messages(services) == (runs if step == "dispatched" else [])
    if step != "dispatched":
        await Cycle(services, Metrics()).run_once()
        assert await messages(services) == [], "without the reconciler the jobs stay where they are"
        assert await states(services, jobs) == {("QUEUED" if step == "reserved" else "SCHEDULED"): 3}

    async with SchedulerService(services, Metrics()):
        await until(lambda: _told(services, jobs), timeout=60)

    found = await services.jobs.get_many([j.id for j in jobs])
    now_held = await held(services)
    assert now_held == sorted((j.id, j.run_no) for j in found.values() if j.status is JobStatus.SCHEDULED)
    for job in found.values():
        assert [e.seq for e in job.history] == list(range(1, job.seq + 1))


async def test_a_dispatch_whose_message_is_lost_is_told_again_by_the_reconciler_alone(
    services: Services, environ: dict[str, str], redis_url: str
) -> None:
    """Killed right after the dispatch; then its message was lost with whoever had taken it."""
    await add_node(services)
    jobs = await add_jobs(services, 2)
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN_A_CYCLE, "dispatched", env={**os.environ, **environ}
    )
    assert await killed.wait() == -signal.SIGKILL
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()

    deaf, whole = (Reconciler(services, Metrics()) for _ in range(2))
    deaf._ledger.ring_again = nothing  # type: ignore[method-assign]
    for reconciler, want in ((deaf, []), (whole, [(j.id, 1) for j in jobs])):
        await reconciler.run_once()
        suspects = reconciler._ledger._unstarted
        suspects._since = {held: since - 1 for held, since in suspects._since.items()}
        await reconciler.run_once()
        await Cycle(services, Metrics()).run_once()
        assert await messages(services) == want
        assert await states(services, jobs) == {"SCHEDULED": 2}


async def nothing() -> None:
    """A repair that is switched off."""


async def test_a_suspect_is_found_by_a_rebuild_and_gets_a_node_for_itself(services: Services) -> None:
    await add_node(services)
    suspect = a_job(resources=SMALL).but(infra_losses=SUSPECT_AFTER).job
    await services.jobs.insert(suspect)
    [plain] = await add_jobs(services, 1, indexed=False)
    assert await services.queue.rebuild(services.jobs.queued_tickets()) == 2

    await Cycle(services, Metrics()).run_once()

    [node] = await services.nodes.all()
    assert (node.allocated, node.free) == (CAPACITY, Vector())
    assert await states(services, [suspect]) == {"SCHEDULED": 1}
    assert await states(services, [plain]) == {"QUEUED": 1}


async def _told(services: Services, jobs: list[Job]) -> bool:
    """Whether every job is SCHEDULED, and a message with its present run waits for its node."""
    found = await services.jobs.get_many([j.id for j in jobs])
    told = set(await messages(services))
    return all(j.status is JobStatus.SCHEDULED and (j.id, j.run_no) in told for j in found.values())


async def test_an_allocation_without_a_run_is_released_and_counted(services: Services) -> None:
    await add_node(services)
    [job] = await add_jobs(services, 1, indexed=False)
    await services.nodes.reserve(NODE, [Allocation("job_gone", 7, job.resources)])
    metrics = Metrics()

    async with SchedulerService(services, metrics):
        await until(lambda: _all(services, [job], "SCHEDULED"), timeout=60)
        await until(lambda: _holds_only(services, job), timeout=60)
        await until(lambda: metrics.registry.get_sample_value("tensorfleet_leaked_allocations") == 0)

    assert metrics.registry.get_sample_value("tensorfleet_ledger_repairs_total", {"kind": "released"}) == 1


async def _holds_only(services: Services, job: Job) -> bool:
    return {job_id for job_id, _ in await held(services)} == {job.id}


async def test_without_redis_the_scheduler_waits_and_says_so(environ: dict[str, str]) -> None:
    settings = load_settings({**environ, "REDIS_URL": "redis://127.0.0.1:1/0"})
    async with open_services(settings, role="api") as services:
        service = SchedulerService(services, Metrics())
        async with service:
            await until(lambda: service.status().trouble)
            assert service.running
            assert service.status().leading
            assert "Redis" in (service.status().trouble or "")
