"""Named limits as use-cases over memory: who is let in, in which order, and what a crash or a race leaves behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from app.domain.job import Job
from app.domain.limits import Place
from app.domain.priority import Priority
from app.domain.specification import JobRequest
from app.domain.states import JobStatus
from app.domain.transitions import RunEnd, complete, fail, place, retry_later, start
from app.operations.advance import decide_waiting
from app.operations.cancel import cancel
from app.operations.change import commit_all
from app.operations.pause import pause
from app.operations.plan import plan
from app.operations.priority import set_priority
from app.operations.resume import resume
from app.operations.retry import retry
from app.operations.submit import Submitted, submit
from app.scheduler.limit_keeper import LimitKeeper
from app.services import Services
from tests.support.clock import FixedClock
from tests.unit.api.harness import FakeHealth, memory_services


@pytest.fixture
def services() -> Services:
    return memory_services(FixedClock(), FakeHealth(), CONCURRENCY_LIMITS='{"main": 1, "wide": 3}')


async def submitted(services: Services, *limits: str, **fields: Any) -> Job:
    seen: list[Job] = []

    def render(done: Submitted) -> bytes:
        seen.append(done.job)
        return b""

    clock = services.clock
    assert isinstance(clock, FixedClock)
    clock.advance(1)
    await submit(services, JobRequest("noop", limits=limits, **fields), "ann", render)
    return seen[0]


async def now(services: Services, job: Job) -> Job:
    found = await services.jobs.get(job.id)
    assert found is not None
    return found


async def states(services: Services, *jobs: Job) -> list[str]:
    return [(await now(services, job)).status.value for job in jobs]


async def ran(services: Services, job: Job) -> Job:
    """The job as it runs."""
    for decide in (lambda j, s: place(j, "node-1", (), s), start):
        job = await now(services, job)
        [after] = await commit_all(services, [(job, decide(job, services.stamp()))])
        assert after is not None
        job = after
    return job


async def ended(services: Services, job: Job) -> None:
    job = await ran(services, job)
    await commit_all(services, [(job, complete(job, RunEnd(), services.stamp()))])


async def test_a_place_is_kept_until_the_end_and_then_the_next_is_let_in_by_class_and_age(services: Services) -> None:
    first = await submitted(services, "main")
    old, urgent, young = (
        await submitted(services, "main"),
        await submitted(services, "main", priority=Priority.URGENT),
        await submitted(services, "main"),
    )
    everybody = (first, old, urgent, young)
    assert await states(services, *everybody) == ["QUEUED", "SUBMITTED", "SUBMITTED", "SUBMITTED"]
    for head in (first, urgent, old):
        await ended(services, head)
    assert await states(services, *everybody) == ["COMPLETED", "COMPLETED", "COMPLETED", "QUEUED"]
    assert await services.queue.locate([young.id])
    assert list((await services.limits.held())["main"]) == [young.id]


async def test_another_class_moves_a_job_up_among_those_that_wait_for_a_place(services: Services) -> None:
    first, old, young = [await submitted(services, "main") for _ in range(3)]
    await set_priority(services, young.id, Priority.HIGH, "ann", None)
    await cancel(services, first.id, "ann", None)
    assert await states(services, old, young) == ["SUBMITTED", "QUEUED"]


async def test_between_runs_and_while_it_is_paused_it_keeps_its_place(services: Services) -> None:
    first, second = await submitted(services, "main"), await submitted(services, "main")
    job = await ran(services, first)
    stamp = services.stamp()
    await commit_all(services, [(job, retry_later(job, "error", RunEnd(), timedelta(0), stamp))])
    assert await states(services, first, second) == ["RETRYING", "SUBMITTED"]
    await pause(services, first.id, "ann", None)
    assert await states(services, first, second) == ["PAUSED", "SUBMITTED"]
    await resume(services, first.id, "ann", None)
    assert await states(services, first, second) == ["QUEUED", "SUBMITTED"]


async def test_one_that_is_held_before_it_was_let_in_holds_no_place(services: Services) -> None:
    first, second = await submitted(services, "main"), await submitted(services, "main")
    await pause(services, second.id, "ann", None)
    await resume(services, second.id, "ann", None)
    assert await states(services, first, second) == ["QUEUED", "SUBMITTED"], "it waits for its turn"
    await pause(services, second.id, "ann", None)
    await cancel(services, first.id, "ann", None)
    assert await services.limits.held() == {}
    await resume(services, second.id, "ann", None)
    assert await states(services, second) == ["QUEUED"]


async def test_a_retry_by_hand_waits_for_its_turn(services: Services) -> None:
    first, second = await submitted(services, "main"), await submitted(services, "main")
    job = await ran(services, first)
    await commit_all(services, [(job, fail(job, "permanent", RunEnd(), services.stamp()))])
    assert await states(services, first, second) == ["FAILED", "QUEUED"]
    assert (await retry(services, first.id, "ann", None)).status is JobStatus.SUBMITTED
    await ended(services, second)
    assert await states(services, first) == ["QUEUED"]


async def test_one_that_needs_two_places_hides_nobody_who_needs_one(services: Services) -> None:
    first = await submitted(services, "main")
    both, wide = await submitted(services, "main", "wide"), await submitted(services, "wide")
    assert await states(services, first, both, wide) == ["QUEUED", "SUBMITTED", "QUEUED"]
    await cancel(services, first.id, "ann", None)
    assert await states(services, both) == ["QUEUED"]
    assert {name: sorted(held) for name, held in (await services.limits.held()).items()} == {
        "main": [both.id], "wide": sorted([both.id, wide.id]),
    }  # fmt: skip


async def test_open_parents_come_first(services: Services) -> None:
    parent = await submitted(services)
    child, other = await submitted(services, "main", dependencies=(parent.id,)), await submitted(services, "main")
    assert await states(services, child, other) == ["SUBMITTED", "QUEUED"]
    await ended(services, parent)
    assert await states(services, child) == ["SUBMITTED"]
    await ended(services, other)
    assert await states(services, child) == ["QUEUED"]


async def test_a_place_of_a_process_that_died_before_its_commit_is_given_back_and_the_next_let_in(
    services: Services,
) -> None:
    assert await services.limits.take("job_gone", {"main": 1}, "t")
    job = await submitted(services, "main")
    keeper = LimitKeeper(services, grace=0)
    assert await states(services, job) == ["SUBMITTED"]
    await keeper.keep()
    assert await states(services, job) == ["QUEUED"]
    assert list((await services.limits.held())["main"]) == [job.id]


async def test_what_is_astray_for_a_moment_is_left_alone(services: Services) -> None:
    assert await services.limits.take("job_new", {"main": 1}, "t")
    await LimitKeeper(services).keep()
    assert list((await services.limits.held())["main"]) == ["job_new"]


async def test_places_that_the_ledger_lost_are_noted_again(services: Services) -> None:
    job = await submitted(services, "main")
    await services.limits.release([Place("main", job.id)])
    waiting = await submitted(services, "wide")
    await LimitKeeper(services, grace=0).keep()
    held = await services.limits.held()
    assert {name: list(holders) for name, holders in held.items()} == {"main": [job.id], "wide": [waiting.id]}


async def test_a_limit_that_exists_no_more_keeps_nobody(services: Services) -> None:
    first, second = await submitted(services, "main"), await submitted(services, "main")
    without = memory_services(FixedClock(), FakeHealth())
    for job in (first, second):
        await without.jobs.insert(await now(services, job))
    await LimitKeeper(without, grace=0).keep()
    await commit_all(without, await decide_waiting(without, [second]))
    assert (await now(without, second)).status is JobStatus.QUEUED


async def test_whoever_comes_when_a_place_is_free_does_not_overtake_who_waits_for_it(services: Services) -> None:
    first, old = await submitted(services, "main"), await submitted(services, "main")
    await services.limits.release([Place("main", first.id)])
    young = await submitted(services, "main")
    assert await states(services, old, young) == ["QUEUED", "SUBMITTED"]


class TestAWorkerThatLacksThem:
    """A worker was started without the CONCURRENCY_LIMITS of the API."""

    @pytest.fixture
    def worker(self, services: Services) -> Services:
        lacking = services.settings.model_copy(
            update={"limits": services.settings.limits.model_copy(update={"concurrency": {}})}
        )
        return replace(services, settings=lacking, knows_limits=False)

    async def test_it_leaves_who_waits_to_the_leader_and_says_so_once(
        self, services: Services, worker: Services
    ) -> None:
        jobs = [await submitted(services, "main") for _ in range(3)]
        with structlog.testing.capture_logs() as logs:
            await ended(worker, jobs[0])
            assert await states(services, *jobs) == ["COMPLETED", "SUBMITTED", "SUBMITTED"]
            assert await decide_waiting(worker, [await now(services, jobs[2])]) == []
        [told] = [entry for entry in logs if entry["event"] == "limits.unknown"]
        assert told["names"] == ["main"] and "CONCURRENCY_LIMITS" in told["remedy"]
        await LimitKeeper(services).keep()
        assert await states(services, *jobs) == ["COMPLETED", "QUEUED", "SUBMITTED"]

    async def test_it_refuses_no_step_for_a_limit_that_it_lacks(self, worker: Services) -> None:
        assert (await plan(worker, JobRequest("noop", limits=("main",)))).limits == ("main",)

    async def test_what_exists_no_more_limits_nothing_where_the_settings_are_the_apis(
        self, services: Services, worker: Services
    ) -> None:
        jobs = [await submitted(services, "main") for _ in range(3)]
        await ended(replace(worker, knows_limits=True), jobs[0])
        assert await states(services, *jobs) == ["COMPLETED", "QUEUED", "QUEUED"]
