"""The loops: who leads, what wakes a cycle, what a failure costs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.errors import Unavailable
from app.domain.states import JobStatus
from app.metrics import Metrics
from app.scheduler.cycle import Outcome
from app.scheduler.leader import LEASE_NAME, Leader
from app.scheduler.service import SchedulerService
from tests.support.leases import taken
from tests.support.wait import until
from tests.unit.domain.builders import a_job
from tests.unit.scheduler.cluster import Cluster

TERM = timedelta(hours=1)


async def test_a_submit_is_scheduled_by_its_ring_long_before_the_interval() -> None:
    cluster = Cluster(SCHEDULER_INTERVAL_SECONDS=300)
    await cluster.add_node()
    async with SchedulerService(cluster.services, cluster.metrics) as service:
        await until(lambda: service.status().cycle_age is not None)

        job = await cluster.add(a_job())

        await until(lambda: cluster.jobs._jobs[job.id].status is JobStatus.SCHEDULED)
        assert service.status().leading


async def test_an_unindexed_job_is_found_and_scheduled() -> None:
    cluster = Cluster(RECONCILE_SECONDS=0.05, SCHEDULER_INTERVAL_SECONDS=300)
    await cluster.add_node()
    job = await cluster.add(a_job(), indexed=False)

    async with SchedulerService(cluster.services, cluster.metrics):
        await until(lambda: cluster.jobs._jobs[job.id].status is JobStatus.SCHEDULED)


async def test_one_of_two_leads_and_the_other_follows_when_it_stops() -> None:
    cluster = Cluster()
    first, second = (SchedulerService(cluster.services, Metrics()) for _ in range(2))
    await first.start()
    await second.start()
    assert (first.status().leading, second.status().leading) == (True, False)

    await first.stop()
    await second._leader.attempt()

    assert second.status().leading
    assert second.status().term == 2
    await second.stop()
    assert await cluster.leases.acquire(LEASE_NAME, "third", TERM) is not None


async def test_a_leader_that_cannot_renew_stops_believing(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    leader = Leader(cluster.services, cluster.metrics, "me", TERM)
    await leader.attempt()
    assert leader.leading

    async def away(*_: object) -> None:
        raise Unavailable("MongoDB")

    cluster.leases.renew = away  # type: ignore[method-assign, assignment]
    await leader.attempt()
    assert leader.leading, "its lease still lasts"
    leader._believed_until -= TERM.total_seconds()
    assert not leader.leading
    assert leader.term_number is None


async def test_a_fenced_leader_is_deposed() -> None:
    cluster = Cluster()
    leader = Leader(cluster.services, cluster.metrics, "me", TERM)
    await leader.attempt()
    await taken(cluster.leases, LEASE_NAME, "other", TERM, held=leader._lease)

    await leader.attempt()

    assert not leader.leading
    assert cluster.metric("scheduler_leader") == 0


async def test_who_leads_no_more_has_no_trouble_and_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a leader that lost the store and then the lead would be unavailable until it leads again."""
    monkeypatch.setattr("app.scheduler.service.BACKOFF", (0.01,))
    monkeypatch.setattr("app.scheduler.service.STANDBY", 0.01)
    monkeypatch.setattr("app.scheduler.periodic.STANDBY", 0.01)
    cluster = Cluster()
    service = SchedulerService(cluster.services, cluster.metrics)

    async def failing(_: int) -> Outcome:
        raise Unavailable("MongoDB")

    service._cycles._cycle.run_once = failing  # type: ignore[method-assign]
    async with service:
        await until(lambda: service.status().trouble and service.status().loops["scheduler.timers"] is not None)
        assert (service.status().trouble, service.status().lacks) == ("MongoDB does not answer", "MongoDB")
        await taken(cluster.leases, LEASE_NAME, "other", TERM, held=service._leader._lease)
        await service._leader.attempt()
        await until(lambda: service.status().trouble is None)
        await until(lambda: service.status().loops["scheduler.timers"] is None)
        assert (service.status().leading, service.status().lacks) == (False, None)


async def test_failing_cycles_are_told_and_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.scheduler.service.BACKOFF", (0.01,))
    cluster = Cluster()
    await cluster.add_node()
    job = await cluster.add(a_job())
    service = SchedulerService(cluster.services, cluster.metrics)
    run_once, failures = service._cycles._cycle.run_once, iter([Unavailable("Redis"), RuntimeError("a bug")])

    async def failing(_: int) -> Outcome:
        if (error := next(failures, None)) is not None:
            raise error
        return await run_once(0)

    service._cycles._cycle.run_once = failing  # type: ignore[method-assign]
    async with service:
        await until(lambda: cluster.jobs._jobs[job.id].status is JobStatus.SCHEDULED)
        assert service.running
        await until(lambda: service.status().trouble is None)  # the cycle that placed it comes to its end
    assert cluster.metric("scheduler_cycle_failures_total", cause="store_away") == 1
    assert cluster.metric("scheduler_cycle_failures_total", cause="error") == 1
