"""Whole cycles over memory adapters: what is placed, told, repaired, and what a crash between two steps leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.domain.durations import Duration
from app.domain.errors import Unavailable
from app.domain.estimates import start_estimate
from app.domain.job import SUSPECT_AFTER, Job
from app.domain.nodes import Allocation, Node
from app.domain.priority import Priority
from app.domain.resources import Vector
from app.domain.states import JobStatus
from app.domain.transitions import Change
from app.operations.cancel import cancel
from app.scheduler.cycle import Cycle
from app.scheduler.publisher import LONG_QUEUE
from tests.unit.domain.builders import a_job
from tests.unit.scheduler.cluster import Cluster

ONE_CORE = {"cpu_cores": 1, "memory_gb": 1, "gpu_count": 0, "storage_gb": 0}


class Killed(BaseException):
    """The process ends here."""


async def test_a_queued_job_is_reserved_scheduled_dequeued_and_dispatched() -> None:
    cluster = Cluster()
    await cluster.add_node()
    job = await cluster.add(a_job(resources=ONE_CORE))

    outcome = await cluster.cycle.run_once()

    after = await cluster.job(job.id)
    assert (outcome.placed, outcome.again) == (1, False)
    assert (after.status, after.node_id, after.run_no) == (JobStatus.SCHEDULED, "n1", 1)
    assert await cluster.held() == {"n1": [(job.id, 1)]}
    assert cluster.dispatcher.take("n1") == [(job.id, 1)]
    assert await cluster.queue.heads() == []


async def test_what_ends_makes_room_for_what_waits() -> None:
    cluster = Cluster()
    await cluster.add_node(cores=1)
    first, second = await cluster.add_many(2, resources=ONE_CORE)
    await cluster.cycle.run_once()
    assert await cluster.states([first, second]) == ["SCHEDULED", "QUEUED"]

    await cluster.run_to_end(first.id)
    await cluster.cycle.run_once()

    assert await cluster.states([first, second]) == ["COMPLETED", "SCHEDULED"]


async def test_gpus_of_one_node_are_never_given_twice() -> None:
    cluster = Cluster()
    await cluster.add_node(cores=32, gpus=4)
    jobs = await cluster.add_many(3, resources={**ONE_CORE, "gpu_count": 2})

    await cluster.cycle.run_once()

    placed = [await cluster.job(j.id) for j in jobs]
    assert [j.gpu_indices for j in placed] == [(0, 1), (2, 3), ()]


async def test_the_limit_on_concurrent_jobs_holds_and_is_the_reason() -> None:
    cluster = Cluster(MAX_CONCURRENT_JOBS=2)
    await cluster.add_node()
    jobs = await cluster.add_many(3, resources=ONE_CORE)

    await cluster.cycle.run_once()

    board = await cluster.queue.board()
    assert board is not None
    assert await cluster.states(jobs) == ["SCHEDULED", "SCHEDULED", "QUEUED"]
    [reasons] = board.verdicts.values()
    assert [r.code for r in reasons] == ["concurrency_limit"]
    assert cluster.metric("waiting_jobs", reason="concurrency_limit") == 1


async def test_a_node_whose_lease_ran_out_takes_no_work() -> None:
    cluster = Cluster()
    await cluster.add_node()
    job = await cluster.add(a_job())
    cluster.clock.advance(3_601)

    await cluster.cycle.run_once()

    board = await cluster.queue.board()
    assert board is not None
    assert await cluster.states([job]) == ["QUEUED"]
    assert [r.code for reasons in board.verdicts.values() for r in reasons] == ["no_workers"]


async def test_a_full_cycle_asks_for_another_at_once() -> None:
    cluster = Cluster(CYCLE_PLACEMENTS=2)
    await cluster.add_node()
    jobs = await cluster.add_many(3, resources=ONE_CORE)

    assert (await cluster.cycle.run_once()).again
    assert not (await cluster.cycle.run_once()).again
    assert await cluster.states(jobs) == ["SCHEDULED"] * 3


async def test_an_index_that_lies_is_mended_and_the_next_job_follows() -> None:
    cluster = Cluster()
    await cluster.add_node(cores=1)
    cancelled, moved, good = await cluster.add_many(3, resources=ONE_CORE)
    store = cluster.jobs._jobs
    store[cancelled.id] = replace(store[cancelled.id], status=JobStatus.CANCELLED)
    store[moved.id] = replace(store[moved.id], effective_priority=Priority.LOW)

    while (await cluster.cycle.run_once()).again:
        pass

    assert await cluster.states([moved, good]) == ["QUEUED", "SCHEDULED"]
    assert cluster.metric("index_repairs_total", kind="stale") == 1
    assert cluster.metric("index_repairs_total", kind="moved") == 1


async def test_a_job_that_was_cancelled_meanwhile_gives_its_room_back() -> None:
    cluster = Cluster()
    await cluster.add_node()
    job = await cluster.add(a_job(resources=ONE_CORE))
    commit = cluster.jobs.commit

    async def cancelled_first(changes: Sequence[Change]) -> list[bool]:
        cluster.jobs.commit = commit  # type: ignore[method-assign]
        await cancel(cluster.services, job.id, "tester", None)
        return await commit(changes)

    cluster.jobs.commit = cancelled_first  # type: ignore[method-assign]
    outcome = await cluster.cycle.run_once()

    assert (outcome.placed, outcome.again) == (0, True)
    assert await cluster.states([job]) == ["CANCELLED"]
    assert await cluster.held() == {"n1": []}
    assert cluster.dispatcher.take("n1") == []


@pytest.mark.parametrize("planned_before", [True, False], ids=["same snapshot", "later snapshot"])
async def test_two_leaders_at_once_give_one_placement_and_keep_its_room(planned_before: bool) -> None:
    cluster = Cluster()
    await cluster.add_node()
    job = await cluster.add(a_job(resources=ONE_CORE))
    other = Cycle(cluster.services, cluster.metrics)
    commit, everything, before = cluster.jobs.commit, cluster.nodes.all, await cluster.nodes.all()

    async def as_before() -> list[Node]:
        return before

    async def overtaken(changes: Sequence[Change]) -> list[bool]:
        cluster.jobs.commit = commit  # type: ignore[method-assign]
        cluster.nodes.all = as_before if planned_before else everything  # type: ignore[method-assign]
        assert (await other.run_once()).placed == int(planned_before)
        return await commit(changes)

    cluster.jobs.commit = overtaken  # type: ignore[method-assign]
    assert (await cluster.cycle.run_once()).placed == int(not planned_before)

    cluster.nodes.all = everything  # type: ignore[method-assign]
    after = await cluster.job(job.id)
    assert (after.status, after.run_no, after.seq) == (JobStatus.SCHEDULED, 1, 2)
    assert await cluster.held() == {"n1": [(job.id, 1)]}
    assert cluster.dispatcher.take("n1") == [(job.id, 1)]


async def test_a_refused_node_costs_its_placements_this_cycle() -> None:
    cluster = Cluster()
    await cluster.add_node(cores=2)
    job = await cluster.add(a_job(resources=ONE_CORE))
    everything = cluster.nodes.all

    async def outdated() -> list:
        seen = await everything()
        cluster.nodes.all = everything  # type: ignore[method-assign]
        await cluster.nodes.reserve("n1", [Allocation("other", 1, Vector(2_000))])
        return seen

    cluster.nodes.all = outdated  # type: ignore[method-assign]
    outcome = await cluster.cycle.run_once()

    assert (outcome.placed, outcome.again) == (0, True)
    assert await cluster.states([job]) == ["QUEUED"]


@pytest.mark.parametrize("step", ["reserved", "placed", "dispatched"])
async def test_what_a_crash_leaves_is_recognisable(step: str) -> None:
    def die(name: str) -> None:
        if name == step:
            raise Killed

    cluster = Cluster(checkpoint=die)
    await cluster.add_node()
    job = await cluster.add(a_job(resources=ONE_CORE))

    with pytest.raises(Killed):
        await cluster.cycle.run_once()

    assert await cluster.held() == {"n1": [(job.id, 1)]}
    assert await cluster.states([job]) == ["QUEUED" if step == "reserved" else "SCHEDULED"]
    assert (cluster.dispatcher.take("n1") != []) == (step == "dispatched")


async def test_after_a_crash_others_go_on_while_the_orphan_waits_for_the_reconciler() -> None:
    cluster = Cluster()
    await cluster.add_node(cores=2)
    orphan, other = await cluster.add_many(2, resources=ONE_CORE)
    await cluster.nodes.reserve("n1", [Allocation(orphan.id, 1, orphan.resources)])

    while (await cluster.cycle.run_once()).again:
        pass

    assert await cluster.states([orphan, other]) == ["QUEUED", "SCHEDULED"]
    assert await cluster.held() == {"n1": sorted([(orphan.id, 1), (other.id, 1)])}


async def test_one_unreadable_document_is_set_aside_and_the_rest_runs() -> None:
    cluster = Cluster()
    await cluster.add_node()
    bad, good = await cluster.add_many(2, resources=ONE_CORE)
    get, get_many = cluster.jobs.get, cluster.jobs.get_many

    async def get_broken(job_id: str) -> object:
        if job_id == bad.id:
            raise KeyError("status")
        return await get(job_id)

    async def get_many_broken(job_ids: list[str]) -> object:
        if bad.id in job_ids:
            raise KeyError("status")
        return await get_many(job_ids)

    cluster.jobs.get, cluster.jobs.get_many = get_broken, get_many_broken  # type: ignore[method-assign, assignment]
    outcome = await cluster.cycle.run_once()

    assert outcome.placed == 1
    assert cluster.metric("documents_quarantined_total", kind="job") == 1
    assert (await cluster.cycle.run_once()).placed == 0
    cluster.jobs.get, cluster.jobs.get_many = get, get_many  # type: ignore[method-assign]
    assert await cluster.states([bad, good]) == ["QUEUED", "SCHEDULED"]


async def test_a_store_that_is_away_is_told_to_the_loop() -> None:
    cluster = Cluster()
    await cluster.add_node()
    await cluster.add(a_job())

    async def away(*_: object) -> bool:
        raise Unavailable("MongoDB")

    cluster.nodes.reserve = away  # type: ignore[method-assign, assignment]
    with pytest.raises(Unavailable):
        await cluster.cycle.run_once()


async def test_a_dispatch_that_cannot_be_sent_leaves_the_job_scheduled() -> None:
    cluster = Cluster()
    await cluster.add_node()
    job = await cluster.add(a_job())

    async def away(*_: object) -> None:
        raise Unavailable("Redis")

    cluster.dispatcher.dispatch = away  # type: ignore[method-assign, assignment]
    assert (await cluster.cycle.run_once()).placed == 1
    assert await cluster.states([job]) == ["SCHEDULED"]


async def test_the_estimate_follows_from_what_a_run_should_take() -> None:
    cluster = Cluster()
    await cluster.add_node(cores=1)
    expected = Duration(30, 30, 40, "history")
    jobs = [replace(a_job(name=f"j{n}", resources=ONE_CORE).job, expected=expected) for n in range(3)]
    first, second, third = [await cluster.add(job) for job in jobs]
    await cluster.cycle.run_once()
    await cluster.run_to_end(first.id, 30)
    await Cycle(cluster.services, cluster.metrics).run_once()

    board, place = await cluster.queue.board(), (await cluster.queue.locate([third.id]))[third.id]
    assert board is not None
    now = cluster.clock.now()
    estimate = start_estimate(board.forecast, place.bucket_id, place.place, place.position, now)
    assert await cluster.states([second, third]) == ["SCHEDULED", "QUEUED"]
    assert (estimate.start - now).total_seconds() == pytest.approx(30, abs=1)


async def test_boards_are_not_made_more_often_than_they_may_cost_and_none_is_forgotten() -> None:
    cluster = Cluster()
    await cluster.cycle.run_once()
    first = await cluster.queue.board()
    await cluster.add(a_job())

    untold = (await cluster.cycle.run_once()).untold

    assert await cluster.queue.board() is first
    assert untold is not None
    assert untold > 0
    assert (await cluster.cycle.run_once()).untold is not None


async def test_a_long_queue_is_explained_beside_the_cycles() -> None:
    cluster = Cluster()
    await cluster.add_node(cores=1)
    await cluster.add_many(LONG_QUEUE + 10, resources=ONE_CORE)

    await cluster.cycle.run_once()
    assert cluster.cycle.publisher._making is not None
    await cluster.cycle.publisher._making

    board = await cluster.queue.board()
    assert board is not None
    assert [r.code for reasons in board.verdicts.values() for r in reasons] == ["resources"]
    [points] = board.forecast.buckets.values()
    assert points[-1][0] == LONG_QUEUE + 9


async def test_a_suspect_runs_alone_on_the_gpus_it_asked_for_and_the_ledger_stays_exact() -> None:
    cluster = Cluster()
    await cluster.add_node(cores=32, gpus=4)
    request = {**ONE_CORE, "gpu_count": 1}
    suspect = await cluster.add(a_job(resources=request).but(infra_losses=SUSPECT_AFTER))
    other = await cluster.add(a_job(resources=ONE_CORE))

    await cluster.cycle.run_once()

    assert await cluster.states([suspect, other]) == ["SCHEDULED", "QUEUED"]
    assert (await cluster.job(suspect.id)).gpu_indices == (0,)
    [node] = await cluster.nodes.all()
    assert node.free + node.allocated == node.capacity
    assert (node.free, node.free_gpus) == (Vector(), ())
    await cluster.run_to_end(suspect.id)
    await cluster.cycle.run_once()
    assert await cluster.states([other]) == ["SCHEDULED"]


async def test_a_job_that_became_a_suspect_behind_the_index_is_not_placed_among_others() -> None:
    cluster = Cluster()
    await cluster.add_node()
    plain, job = await cluster.add_many(2, resources=ONE_CORE)
    cluster.jobs._jobs[job.id] = replace(job, infra_losses=SUSPECT_AFTER)

    await cluster.cycle.run_once()
    await cluster.cycle.run_once()

    assert await cluster.states([plain, job]) == ["SCHEDULED", "QUEUED"]


async def test_a_node_that_registered_anew_since_the_snapshot_grants_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may carry other labels now, and the next cycle sees them."""
    cluster = Cluster()
    node = await cluster.add_node()
    job = await cluster.add(a_job(resources=ONE_CORE))
    load = cluster.jobs.get_many

    async def registers_meanwhile(ids: Sequence[str]) -> dict[str, Job]:
        await cluster.nodes.register(replace(node, epoch=2))
        return await load(ids)

    monkeypatch.setattr(cluster.jobs, "get_many", registers_meanwhile)
    outcome = await cluster.cycle.run_once()
    assert (outcome.placed, outcome.again) == (0, True)
    assert await cluster.states([job]) == ["QUEUED"]

    assert (await cluster.cycle.run_once()).placed == 1
