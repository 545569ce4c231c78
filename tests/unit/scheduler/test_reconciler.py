"""Each thing that a crash may leave behind, and its repair; each first shown to stay wrong without the repair."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain import transitions
from app.domain.control_transitions import freeze
from app.domain.errors import Unavailable
from app.domain.job import SUSPECT_AFTER
from app.domain.nodes import Allocation, NodeState
from app.domain.ports import node_lease
from app.domain.priority import Priority
from app.domain.resources import Vector
from app.domain.states import JobStatus
from app.operations.change import transition
from app.scheduler import index_keeper
from app.scheduler.reconciler import Reconciler
from tests.unit.domain.builders import a_job
from tests.unit.scheduler.cluster import Cluster

RIGHT_AWAY = {"RECONCILE_SECONDS": 0.001}
"""Times of patience are multiples of this; two looks are then always further apart than the grace."""
ONE_CORE = {"cpu_cores": 1, "memory_gb": 1, "gpu_count": 0, "storage_gb": 0}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(index_keeper, "COST_FACTOR", 0.0)
    return Cluster(**RIGHT_AWAY)


@pytest.fixture
def reconciler(cluster: Cluster) -> Reconciler:
    return Reconciler(cluster.services, cluster.metrics)


async def two_looks(cluster: Cluster, reconciler: Reconciler) -> None:
    """The second confirms what the first suspected."""
    await reconciler.run_once()
    await _past_the_grace(reconciler)
    await reconciler.run_once()


async def _past_the_grace(reconciler: Reconciler) -> None:
    """As if the suspicions of the first look were older."""
    for suspects in (reconciler._ledger._leaked, reconciler._ledger._missing):
        suspects._since = {key: since - 1 for key, since in suspects._since.items()}


async def indexed(cluster: Cluster) -> set[str]:
    return {job_id async for batch in cluster.queue.all_ids() for job_id in batch}


async def test_a_lost_index_is_rebuilt(cluster: Cluster, reconciler: Reconciler) -> None:
    jobs = await cluster.add_many(20)
    cluster.queue.lose()
    assert await indexed(cluster) == set()

    await reconciler.run_once()

    assert await indexed(cluster) == {j.id for j in jobs}
    assert await cluster.queue.epoch() is not None
    assert cluster.metric("index_repairs_total", kind="rebuilt") == 1


async def test_a_lost_epoch_is_found_between_two_sweeps(cluster: Cluster, reconciler: Reconciler) -> None:
    jobs = await cluster.add_many(3)
    await reconciler.run_once()
    cluster.queue.lose()
    await reconciler.index.restore()
    await reconciler.index.restore()
    assert await indexed(cluster) == {j.id for j in jobs}
    assert cluster.metric("index_repairs_total", kind="rebuilt") == 2


async def test_a_sweep_gives_way_to_a_rebuild(cluster: Cluster, reconciler: Reconciler) -> None:
    await reconciler.run_once()
    missed = await cluster.add(a_job(), indexed=False)
    async with reconciler.index._rebuilding:
        await reconciler.index.keep()
        assert await indexed(cluster) == set()
    await reconciler.index.keep()
    assert await indexed(cluster) == {missed.id}


async def test_the_index_gets_what_it_misses_and_loses_what_it_should_not_hold(
    cluster: Cluster, reconciler: Reconciler
) -> None:
    await reconciler.run_once()
    missed = await cluster.add(a_job(), indexed=False)
    stale = await cluster.add(a_job())
    cluster.jobs._jobs[stale.id] = replace(stale, status=JobStatus.CANCELLED)
    assert await indexed(cluster) == {stale.id}

    await reconciler.run_once()

    assert await indexed(cluster) == {missed.id}
    assert cluster.metric("index_repairs_total", kind="missing") == 1
    assert cluster.metric("index_repairs_total", kind="stale") == 1


async def test_a_reservation_that_a_killed_scheduler_left_is_released_after_a_grace(
    cluster: Cluster, reconciler: Reconciler
) -> None:
    await cluster.add_node()
    job = await cluster.add(a_job(resources=ONE_CORE))
    await cluster.nodes.reserve("n1", [Allocation(job.id, 1, job.resources)])

    await reconciler._ledger.compare()
    assert await cluster.held() == {"n1": [(job.id, 1)]}, "not at first sight"
    await _past_the_grace(reconciler)
    await reconciler._ledger.compare()

    assert await cluster.held() == {"n1": []}
    assert cluster.metric("leaked_allocations") == 1
    await reconciler.run_once()
    assert cluster.metric("leaked_allocations") == 0


async def test_the_room_of_a_live_run_is_never_released(cluster: Cluster, reconciler: Reconciler) -> None:
    await cluster.add_node()
    jobs = await cluster.add_many(2, resources=ONE_CORE)
    await cluster.cycle.run_once()
    await transition(cluster.services, jobs[1].id, transitions.start)
    before = await cluster.held()

    await two_looks(cluster, reconciler)

    assert await cluster.held() == before
    assert len(before["n1"]) == 2


async def test_a_live_run_without_room_gets_it_back(cluster: Cluster, reconciler: Reconciler) -> None:
    await cluster.add_node()
    job = await cluster.add(a_job(resources=ONE_CORE))
    await cluster.cycle.run_once()
    await transition(cluster.services, job.id, transitions.start)
    await cluster.nodes.release("n1", [(job.id, 1)])

    await two_looks(cluster, reconciler)

    assert await cluster.held() == {"n1": [(job.id, 1)]}
    assert cluster.metric("ledger_repairs_total", kind="reserved") == 1


async def test_a_job_that_nobody_started_is_rung_again_and_then_taken_back() -> None:
    cluster = Cluster(RECONCILE_SECONDS=5)
    reconciler = Reconciler(cluster.services, cluster.metrics)
    await cluster.add_node()
    job = await cluster.add(a_job())
    await cluster.cycle.run_once()
    cluster.dispatcher.take("n1")

    await reconciler.run_once()
    assert cluster.dispatcher.take("n1") == [], "not before its time"

    _unstarted_for(reconciler, 6)
    await reconciler.run_once()
    assert cluster.dispatcher.take("n1") == [(job.id, 1)]

    _unstarted_for(reconciler, 30)
    await reconciler.run_once()
    after = await cluster.job(job.id)
    assert (after.status, after.attempt, after.history[-1].reason) == (JobStatus.QUEUED, 0, "dispatch_lost")
    assert await cluster.held() == {"n1": []}
    assert await indexed(cluster) == {job.id}
    assert cluster.metric("dispatch_redelivered_total", kind="taken_back") == 1


def _unstarted_for(reconciler: Reconciler, seconds: float) -> None:
    """As if the dispatches of the first look had been seen so many seconds earlier."""
    suspects = reconciler._ledger._unstarted
    suspects._since = {key: since - seconds for key, since in suspects._since.items()}


@pytest.mark.parametrize("skew", [-60, 60])
async def test_a_clock_that_is_a_minute_wrong_takes_no_dispatch_back(skew: float) -> None:
    """The next leader's clock differs from that of the leader which placed the job."""
    cluster = Cluster(RECONCILE_SECONDS=5)
    await cluster.add_node()
    job = await cluster.add(a_job())
    await cluster.cycle.run_once()
    reconciler = Reconciler(cluster.services, cluster.metrics)
    cluster.clock.advance(skew)

    await reconciler.run_once()
    assert await cluster.states([job]) == ["SCHEDULED"]
    _unstarted_for(reconciler, 31)
    await reconciler.run_once()
    assert await cluster.states([job]) == ["QUEUED"]


@pytest.mark.parametrize(("state", "want"), [(NodeState.LOST, "QUEUED"), (NodeState.READY, "SCHEDULED")])
async def test_a_late_dispatch_to_a_lost_node_is_taken_back_at_once_but_not_for_a_lapsed_lease(
    state: NodeState, want: str
) -> None:
    cluster = Cluster(RECONCILE_SECONDS=5)
    reconciler = Reconciler(cluster.services, cluster.metrics)
    await cluster.add_node()
    job = await cluster.add(a_job())
    await cluster.cycle.run_once()
    await cluster.leases.give_back(cluster.leases._leases[node_lease("n1")])
    await cluster.nodes.set_state("n1", state, "", cluster.clock.now())
    await reconciler.run_once()
    _unstarted_for(reconciler, 6)

    await reconciler.run_once()

    assert await cluster.states([job]) == [want]


async def test_a_frozen_job_keeps_its_room_and_gets_it_back(cluster: Cluster, reconciler: Reconciler) -> None:
    await cluster.add_node()
    job = await cluster.add(a_job(resources=ONE_CORE))
    await cluster.cycle.run_once()
    await transition(cluster.services, job.id, transitions.start)
    await transition(cluster.services, job.id, lambda j, s: freeze(j, s, None))
    await two_looks(cluster, reconciler)
    assert await cluster.held() == {"n1": [(job.id, 1)]}

    await cluster.nodes.release("n1", [(job.id, 1)])
    await two_looks(cluster, reconciler)

    assert await cluster.held() == {"n1": [(job.id, 1)]}


async def test_a_suspect_that_lost_its_room_gets_its_whole_node_back(cluster: Cluster, reconciler: Reconciler) -> None:
    await cluster.add_node()
    job = await cluster.add(a_job(resources=ONE_CORE).but(infra_losses=SUSPECT_AFTER))
    await cluster.cycle.run_once()
    await transition(cluster.services, job.id, transitions.start)
    await cluster.nodes.release("n1", [(job.id, 1)])

    await two_looks(cluster, reconciler)

    [node] = await cluster.nodes.all()
    assert (node.allocated, node.free) == (node.capacity, Vector())


async def test_a_held_child_whose_parent_failed_unnoticed_fails(cluster: Cluster, reconciler: Reconciler) -> None:
    done, failed = await cluster.add(a_job().completed()), await cluster.add(a_job().failed())
    orphan = await cluster.add(a_job(eligible=False, dependencies=(failed.id,)).held())
    child = await cluster.add(a_job(eligible=False, dependencies=(done.id,)).held())

    await reconciler.run_once()

    assert await cluster.states([orphan, child]) == ["FAILED", "PAUSED"]
    assert (await cluster.job(orphan.id)).history[-1].reason == "dependency_failed"


async def test_children_whose_parents_ended_unnoticed_move_on(cluster: Cluster, reconciler: Reconciler) -> None:
    done, failed = await cluster.add(a_job().completed()), await cluster.add(a_job().failed())
    child = await cluster.add(a_job(eligible=False, dependencies=(done.id,)))
    orphan = await cluster.add(a_job(eligible=False, dependencies=(failed.id,)))
    grandchild = await cluster.add(a_job(eligible=False, dependencies=(orphan.id,)))
    assert await cluster.states([child, orphan]) == ["SUBMITTED", "SUBMITTED"]

    await reconciler.run_once()

    assert await cluster.states([child, orphan, grandchild]) == ["QUEUED", "FAILED", "FAILED"]
    assert (await cluster.job(grandchild.id)).history[-1].detail == failed.id
    assert child.id in await indexed(cluster)


async def test_a_class_that_was_not_lent_is_lent_upwards(cluster: Cluster, reconciler: Reconciler) -> None:
    """Also by one that is not the nearest: it goes up from there."""
    first = await cluster.add(a_job(priority=Priority.LOW))
    second = await cluster.add(a_job(priority=Priority.LOW, eligible=False, dependencies=(first.id,)))
    await cluster.add(a_job(priority=Priority.URGENT, eligible=False, dependencies=(second.id,)))
    assert (await cluster.job(first.id)).effective_priority is Priority.LOW

    await reconciler.run_once()

    for job in (first, second):
        assert (await cluster.job(job.id)).effective_priority is Priority.URGENT
    assert (await cluster.job(first.id)).history[-1].seq == 2, "lent once"


async def test_the_pages_of_waiting_jobs_go_round(
    cluster: Cluster, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.scheduler.reconciler.PAGE", 2)
    running, done = await cluster.add(a_job().running()), await cluster.add(a_job().completed())
    for _ in range(3):
        await cluster.add(a_job(eligible=False, dependencies=(running.id,)))
    last = await cluster.add(a_job(eligible=False, dependencies=(done.id,)))

    await reconciler.promote_missed()
    assert await cluster.states([last]) == ["SUBMITTED"]
    await reconciler.promote_missed()

    assert await cluster.states([last]) == ["QUEUED"]


async def test_one_failing_repair_does_not_keep_the_others(cluster: Cluster, reconciler: Reconciler) -> None:
    done = await cluster.add(a_job().completed())
    child = await cluster.add(a_job(eligible=False, dependencies=(done.id,)))

    async def away() -> str:
        raise Unavailable("Redis")

    async def broken(*_: object) -> list:
        raise KeyError("state")

    cluster.queue.epoch = away  # type: ignore[method-assign]
    cluster.nodes.all = broken  # type: ignore[method-assign]
    await reconciler.run_once()

    assert await cluster.states([child]) == ["QUEUED"]
    assert cluster.metric("scheduler_cycle_failures_total", cause="reconciler") >= 1
