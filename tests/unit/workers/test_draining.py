"""A node that a user drains: what it takes, when its runs leave, and that it can be taken back at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from app.domain.nodes import Drain, Node, NodeState
from app.domain.resources import Vector
from app.services import Services
from tests.support.clock import FixedClock
from tests.support.wait import until
from tests.unit.api.harness import FakeHealth, memory_services
from tests.unit.domain.builders import NOW, a_job
from tests.unit.workers.conftest import a_guard
from tests.unit.workers.test_controls import FakeRunner
from workers.claims import Claims
from workers.draining import Draining
from workers.live import LiveRun, LiveRuns

NODE = "node-1"
LONG, SHORT = 600.0, 0.01
"""Graces in seconds: one that no test outlasts, and one that is over at once."""


class Bench:
    """A node with one run, over stores in memory."""

    def __init__(self, services: Services, claims: Claims, draining: Draining, runs: LiveRuns, run: LiveRun) -> None:
        self.services, self.claims, self.draining, self.runs, self.run = services, claims, draining, runs, run
        self.runner: FakeRunner = run.runner  # type: ignore[assignment]

    def grace(self, seconds: float) -> None:
        """What runs have from the next drain on."""
        settings = self.services.settings
        node = settings.node.model_copy(update={"drain_grace": timedelta(seconds=seconds)})
        object.__setattr__(self.services, "settings", settings.model_copy(update={"node": node}))

    async def outlasts(self) -> None:
        """A short grace is over, and whoever waited for that has acted."""
        loop = asyncio.get_running_loop()
        end = loop.time() + 5 * SHORT
        await until(lambda: loop.time() > end)

    async def want(self, drain: bool, *, patient: bool = False) -> None:
        wish = Drain("ann", "new kernel", NOW, patient) if drain else None
        assert await self.services.nodes.set_drain(NODE, wish, NOW) is not None
        await self.draining.look()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    services = memory_services(FixedClock(NOW), FakeHealth())
    capacity = Vector(4000, 4096, 0, 1000)
    await services.nodes.register(Node(NODE, 1, NodeState.READY, {}, capacity, capacity))
    runs = LiveRuns()
    run = LiveRun(a_job("sleep").running(NODE).job, FakeRunner(), services.clock)
    runs.add(run)
    async with a_guard() as guard:
        claims = Claims(services, NODE, runs, lambda _: None, guard)
        async with Draining(services, NODE, runs, claims) as draining:
            made = Bench(services, claims, draining, runs, run)
            made.grace(LONG)
            yield made


async def test_a_drained_node_takes_nothing_and_gives_back_what_has_not_started(bench: Bench) -> None:
    waiting = a_job("noop").scheduled(NODE).job
    await bench.services.jobs.insert(waiting)
    await bench.want(drain=True)
    assert bench.claims.closed
    job = await bench.services.jobs.get(waiting.id)
    assert job is not None and (job.status, job.history[-1].reason) == ("QUEUED", "dispatch_lost")
    assert bench.runner.did == [], "its runs have their grace"


async def test_runs_that_outlast_the_grace_leave(bench: Bench) -> None:
    bench.grace(SHORT)
    await bench.want(drain=True)
    await until(lambda: bench.runner.did == ["stop drained"])


async def test_a_run_whose_claim_was_answered_late_leaves_as_well(bench: Bench) -> None:
    bench.grace(SHORT)
    await bench.want(drain=True)
    await until(lambda: bench.runner.did)
    late = LiveRun(a_job("sleep").running(NODE).job, FakeRunner(), bench.services.clock)
    bench.runs.add(late)
    await bench.draining.look()
    assert late.stop_reason == "drained" and bench.runner.did == ["stop drained"]


async def test_a_patient_drain_lets_runs_end_by_themselves_and_a_users_does_not(bench: Bench) -> None:
    bench.grace(SHORT)
    await bench.want(drain=True, patient=True)
    for _ in range(3):
        await bench.draining.look()
        await bench.outlasts()
    assert bench.claims.closed and bench.runner.did == []
    await bench.want(drain=True)
    await until(lambda: bench.runner.did == ["stop drained"])


async def test_a_patient_drain_after_a_hurried_one_is_patient(bench: Bench) -> None:
    await bench.want(drain=True)
    await bench.want(drain=False)
    bench.grace(SHORT)
    await bench.want(drain=True, patient=True)
    await bench.outlasts()
    assert bench.claims.closed
    await bench.want(drain=False)
    assert not bench.claims.closed and bench.runner.did == []


async def test_a_drain_that_is_taken_back_ends_nothing(bench: Bench) -> None:
    await bench.want(drain=True)
    await bench.want(drain=False)
    assert not bench.claims.closed and bench.runner.did == []


async def test_a_node_can_be_drained_again(bench: Bench) -> None:
    for drain in (True, False, True):
        await bench.want(drain=drain)
    assert bench.claims.closed
    bench.runs.remove(bench.run)
    await bench.want(drain=False)
    assert not bench.claims.closed


async def test_a_stop_or_a_fence_keeps_the_claims_closed_when_the_drain_is_over(bench: Bench) -> None:
    bench.claims.close("stopping")
    await bench.want(drain=True)
    await bench.want(drain=False)
    assert bench.claims.closed


async def test_a_drained_node_that_is_stopped_does_not_wait_for_its_runs(bench: Bench) -> None:
    await bench.want(drain=True)
    await asyncio.wait_for(bench.draining.stop(), 30)
