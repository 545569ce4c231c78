"""Start times, retry delays and queue deadlines, on a clock that is moved by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.domain import explain
from app.domain.job import Job
from app.domain.states import JobStatus
from app.domain.transitions import Change
from app.scheduler.timers import BATCH, Timers, decide_due
from tests.unit.domain.builders import NOW, a_job
from tests.unit.scheduler.cluster import Cluster

HUGE = {"cpu_cores": 500, "memory_gb": 1, "gpu_count": 0, "storage_gb": 0}
UNSATISFIABLE = [explain.unsatisfiable({"cpu_cores": 8}, {"cpu_cores": 500})]


def test_the_deadline_outweighs_a_retry_that_is_due() -> None:
    builder = a_job(queue_deadline=5.0, retry_policy={"retry_on": ("error",)}).retrying(delay=1)
    later = NOW + timedelta(seconds=60)

    change = decide_due(builder.job, later, [], builder.stamp())

    assert change is not None
    assert (change.entry.to, change.entry.reason) == (JobStatus.TIMEOUT, "queue_deadline")


def test_only_a_deciding_unsatisfiable_fails_a_job_at_its_deadline() -> None:
    builder = a_job(queue_deadline=5.0)
    later = NOW + timedelta(seconds=6)

    failed = decide_due(builder.job, later, UNSATISFIABLE, builder.stamp())
    ended = decide_due(builder.job, later, [explain.no_workers(), *UNSATISFIABLE], builder.stamp())

    assert failed is not None
    assert ended is not None
    assert (failed.entry.to, failed.entry.reason) == (JobStatus.FAILED, "unsatisfiable")
    assert ended.entry.to == JobStatus.TIMEOUT


def test_nothing_happens_before_its_time_nor_to_a_running_job() -> None:
    waiting, running = a_job(queue_deadline=5.0), a_job(queue_deadline=5.0).running()

    assert decide_due(waiting.job, NOW + timedelta(seconds=4), [], waiting.stamp()) is None
    assert decide_due(running.job, NOW + timedelta(days=1), [], running.stamp()) is None


async def test_a_start_time_that_has_come_queues_the_job_once_its_parents_are_done() -> None:
    cluster = Cluster()
    running, done = await cluster.add(a_job().running()), await cluster.add(a_job().completed())
    soon = NOW + timedelta(seconds=60)
    alone = await cluster.add(a_job(eligible=False, start_after=soon))
    after_done = await cluster.add(a_job(eligible=False, start_after=soon, dependencies=(done.id,)))
    after_running = await cluster.add(a_job(eligible=False, start_after=soon, dependencies=(running.id,)))
    timers = Timers(cluster.services)

    await timers.fire()
    assert await cluster.states([alone, after_done]) == ["SUBMITTED", "SUBMITTED"]
    cluster.clock.advance(61)
    await timers.fire()

    assert await cluster.states([alone, after_done, after_running]) == ["QUEUED", "QUEUED", "SUBMITTED"]
    assert len(await cluster.queue.locate([alone.id, after_done.id])) == 2


async def test_a_retry_is_queued_under_its_old_key_when_its_delay_is_over() -> None:
    cluster = Cluster()
    job = await cluster.add(a_job().retrying(delay=10))
    timers = Timers(cluster.services)

    await timers.fire()
    assert await cluster.states([job]) == ["RETRYING"]
    cluster.clock.advance(30)
    await timers.fire()

    assert await cluster.states([job]) == ["QUEUED"]
    assert (await cluster.job(job.id)).order_key == job.order_key


async def test_more_is_due_than_one_page_holds() -> None:
    cluster = Cluster()
    jobs = [await cluster.add(a_job(name=f"j{n}", queue_deadline=1.0)) for n in range(BATCH + 3)]
    cluster.clock.advance(2)

    await Timers(cluster.services).fire()

    assert set(await cluster.states(jobs)) == {"TIMEOUT"}
    assert await cluster.queue.heads() == []


async def test_a_deadline_that_passes_while_no_node_could_hold_the_job_fails_it() -> None:
    cluster = Cluster()
    await cluster.add_node()
    job = await cluster.add(a_job(resources=HUGE, queue_deadline=60.0))
    cluster.clock.advance(61)

    await Timers(cluster.services).fire()

    after = await cluster.job(job.id)
    assert after.status is JobStatus.FAILED
    assert after.error is not None
    assert "cpu_cores 500 > 8" in after.error.message


async def test_without_a_deadline_the_hopeless_wait_a_day_and_others_for_ever() -> None:
    cluster = Cluster()
    hopeless = await cluster.add(a_job(resources=HUGE))
    patient = await cluster.add(a_job(resources=HUGE, queue_deadline=200_000.0))
    able = await cluster.add(a_job())
    timers = Timers(cluster.services)
    cluster.clock.advance(86_000)
    await cluster.add_node()
    await timers.give_up()
    assert await cluster.states([hopeless]) == ["QUEUED"]

    cluster.clock.advance(500)
    await timers.give_up()

    assert await cluster.states([hopeless, patient, able]) == ["FAILED", "QUEUED", "QUEUED"]


async def test_a_job_that_cannot_be_decided_on_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    bad, good = [await cluster.add(a_job(queue_deadline=5.0)) for _ in range(2)]

    def decide(job: Job, *arguments: Any) -> Change | None:
        if job.id == bad.id:
            raise ValueError("no such thing")
        return decide_due(job, *arguments)

    monkeypatch.setattr("app.scheduler.timers.decide_due", decide)
    cluster.clock.advance(60)
    await Timers(cluster.services).fire()
    assert await cluster.states([bad, good]) == ["QUEUED", "TIMEOUT"]


async def test_a_deadline_ends_what_is_held_but_no_run_that_was_paused() -> None:
    cluster = Cluster()
    asked = {"queue_deadline": 60.0}
    held = await cluster.add(a_job(**asked).held())
    frozen, released = await cluster.add(a_job(**asked).frozen()), await cluster.add(a_job(**asked).released())
    cluster.clock.advance(61)

    await Timers(cluster.services).fire()

    assert await cluster.states([held, frozen, released]) == ["TIMEOUT", "PAUSED", "PAUSED"]


@pytest.mark.parametrize(("ahead", "want"), [(60, "QUEUED"), (-60, "RETRYING")])
async def test_what_has_come_is_told_by_the_stores_clock(
    monkeypatch: pytest.MonkeyPatch, ahead: int, want: str
) -> None:
    """This process's clock is a minute behind the store's, or before it; the delay was 30 seconds."""
    cluster = Cluster()
    job = await cluster.add(a_job().retrying(delay=30))

    async def server_time() -> datetime:
        return NOW + timedelta(seconds=30 + ahead)

    monkeypatch.setattr(cluster.leases, "server_time", server_time)
    cluster.clock.advance(30)
    await Timers(cluster.services).fire()

    assert await cluster.states([job]) == [want]
