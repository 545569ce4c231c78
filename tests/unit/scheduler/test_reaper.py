"""What the reaper takes, from whom, and what a crash between its steps leaves to the next pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain import transitions
from app.domain.control_transitions import freeze, request_control
from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.nodes import NodeState
from app.domain.ports import node_lease
from app.operations.change import transition
from app.scheduler.hold_back import NEW_LEADER, NEW_PRIMARY, STORE_AWAY
from app.scheduler.reaper import Reaper
from app.scheduler.service import SchedulerService
from tests.unit.domain.builders import a_job
from tests.unit.scheduler.cluster import Cluster

HOUR = 3_600.0


class Killed(BaseException):
    """The process ends here."""


def make_reaper(cluster: Cluster, checkpoint: Callable[[str], None] = lambda _: None) -> Reaper:
    return Reaper(cluster.services, cluster.metrics, lambda: 1, checkpoint)


async def look_for(cluster: Cluster, reaper: Reaper, seconds: float) -> None:
    """Passes without a break, each five seconds after the last."""
    for _ in range(int(seconds // 5)):
        cluster.clock.advance(5)
        await reaper.run_once()


async def watching(cluster: Cluster, checkpoint: Callable[[str], None] = lambda _: None) -> Reaper:
    """A reaper that has looked for longer than a lease and holds nothing back."""
    reaper = make_reaper(cluster, checkpoint)
    await reaper.run_once()
    await look_for(cluster, reaper, 65)
    assert reaper.holding_back is None
    return reaper


async def silence(cluster: Cluster, node_id: str = "n1") -> None:
    """The node's lease ends now."""
    await cluster.leases.give_back(cluster.leases._leases[node_lease(node_id)])
    cluster.clock.advance(1)


async def a_running_job(cluster: Cluster) -> Job:
    job = await cluster.add(a_job())
    await cluster.cycle.run_once()
    return await transition(cluster.services, job.id, transitions.start)


async def node_state(cluster: Cluster, node_id: str = "n1") -> NodeState:
    node = await cluster.nodes.get(node_id)
    assert node is not None
    return node.state


async def test_runs_of_a_silent_node_are_taken_and_the_node_is_lost() -> None:
    cluster = Cluster()
    await cluster.add_node()
    running, scheduled = await a_running_job(cluster), await cluster.add(a_job())
    await cluster.cycle.run_once()
    reaper = await watching(cluster)
    await silence(cluster)

    await reaper.run_once()

    assert await cluster.states([running, scheduled]) == ["RETRYING", "QUEUED"]
    after = await cluster.job(running.id)
    assert (after.history[-1].reason, after.infra_losses, after.retry_at) == (
        "worker_lost", 0, after.history[-1].at
    )  # fmt: skip
    assert await node_state(cluster) is NodeState.LOST
    assert await cluster.held() == {"n1": []}
    assert cluster.metric("nodes_lost_total") == 1
    assert cluster.metric("runs_reaped_total", to="RETRYING") == 1


async def test_a_renewal_after_the_fence_is_refused() -> None:
    cluster = Cluster()
    await cluster.add_node()
    reaper = await watching(cluster)
    held = cluster.leases._leases[node_lease("n1")]
    await silence(cluster)

    await reaper.run_once()

    assert await cluster.leases.renew(held, timedelta(minutes=1)) is None


async def test_what_users_asked_of_a_lost_run_is_honoured() -> None:
    cluster = Cluster()
    await cluster.add_node()
    cancelled, paused, frozen, thawing = [await a_running_job(cluster) for _ in range(4)]
    await transition(cluster.services, cancelled.id, lambda j, s: request_control(j, "cancel", s, None), "ann")
    await transition(cluster.services, paused.id, lambda j, s: request_control(j, "pause", s, None), "ann")
    for job in (frozen, thawing):
        await transition(cluster.services, job.id, lambda j, s: freeze(j, s, None))
    await transition(cluster.services, thawing.id, lambda j, s: request_control(j, "resume", s, None), "ann")
    reaper = await watching(cluster)
    await silence(cluster)

    await reaper.run_once()

    assert await cluster.states([cancelled, paused]) == ["CANCELLED", "PAUSED"]
    assert (await cluster.job(paused.id)).released
    assert "RUNNING" not in await cluster.states([frozen, thawing])
    assert await cluster.held() == {"n1": []}


async def test_nothing_is_taken_from_a_node_that_renews() -> None:
    cluster = Cluster()
    await cluster.add_node()
    job = await a_running_job(cluster)

    await look_for(cluster, await watching(cluster), 60)

    assert await cluster.states([job]) == ["RUNNING"]
    assert await node_state(cluster) is NodeState.READY


async def test_a_node_that_renewed_since_the_look_keeps_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    await cluster.add_node()
    job = await a_running_job(cluster)
    reaper = await watching(cluster)
    held = cluster.leases._leases[node_lease("n1")]
    await silence(cluster)
    nodes = cluster.nodes.all

    async def renewed_meanwhile() -> object:
        assert await cluster.leases.renew(held, timedelta(minutes=1)) is not None
        return await nodes()

    monkeypatch.setattr(cluster.nodes, "all", renewed_meanwhile)
    await reaper.run_once()

    assert await cluster.states([job]) == ["RUNNING"]
    assert await node_state(cluster) is NodeState.READY


@pytest.mark.parametrize("registers", [False, True])
async def test_what_a_new_registration_starts_is_never_touched(
    monkeypatch: pytest.MonkeyPatch, registers: bool
) -> None:
    """The worker comes back between the look and the deed, and starts what had been dispatched to it."""
    cluster = Cluster()
    node = await cluster.add_node()
    job = await cluster.add(a_job())
    await cluster.cycle.run_once()
    reaper = await watching(cluster)
    await silence(cluster)
    fence = cluster.leases.fence

    async def comes_back(name: str, epoch: int) -> bool:
        fenced = await fence(name, epoch)
        lease = await cluster.leases.acquire(name, "n1", timedelta(minutes=1))
        assert lease is not None
        await transition(cluster.services, job.id, transitions.start)
        if registers:
            await cluster.nodes.register(replace(node, epoch=lease.epoch))
        return fenced

    monkeypatch.setattr(cluster.leases, "fence", comes_back)
    await reaper.run_once()

    assert await cluster.states([job]) == ["RUNNING"]
    assert await node_state(cluster) is (NodeState.READY if registers else NodeState.LOST)


@pytest.mark.parametrize("step", ["fenced", "lost"])
async def test_a_crash_between_two_steps_is_repaired_by_the_next_pass(step: str) -> None:
    def die(at: str) -> None:
        if at == step:
            raise Killed

    cluster = Cluster()
    await cluster.add_node()
    job = await a_running_job(cluster)
    reaper = await watching(cluster, die)
    await silence(cluster)
    with pytest.raises(Killed):
        await reaper.run_once()
    assert await cluster.states([job]) == ["RUNNING"], "the crash left it behind"

    await (await watching(cluster)).run_once()

    assert await cluster.states([job]) == ["RETRYING"]
    assert await node_state(cluster) is NodeState.LOST


async def test_a_run_that_a_late_claim_began_on_a_lost_node_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim was on its way while the node was given up; nodes that were settled are looked at again."""
    cluster = Cluster()
    await cluster.add_node()
    reaper = await watching(cluster)
    await silence(cluster)
    await reaper.run_once()
    await reaper.run_once()
    assert reaper._quiet, "the second pass saw that nothing was left"
    late = await cluster.add(a_job().running("n1"))
    await reaper.run_once()
    assert await cluster.states([late]) == ["RUNNING"]

    reaper._quiet = dict.fromkeys(reaper._quiet, 0.0)
    await reaper.run_once()

    assert await cluster.states([late]) == ["RETRYING"]


async def test_a_new_leader_and_a_store_that_was_away_hold_everything_back() -> None:
    cluster = Cluster()
    await cluster.add_node()
    job = await a_running_job(cluster)
    reaper = make_reaper(cluster)
    await silence(cluster)

    await reaper.run_once()
    assert reaper.holding_back is not None
    assert reaper.holding_back.cause == NEW_LEADER
    await look_for(cluster, reaper, 55)
    lapsed = cluster.leases.lapsed

    async def away() -> list[object]:
        raise Unavailable("MongoDB")

    cluster.leases.lapsed = away  # type: ignore[method-assign, assignment]
    with pytest.raises(Unavailable):
        await reaper.run_once()
    cluster.leases.lapsed = lapsed  # type: ignore[method-assign]
    await look_for(cluster, reaper, 30)
    assert reaper.holding_back.cause == STORE_AWAY
    assert await cluster.states([job]) == ["RUNNING"]

    await look_for(cluster, reaper, 40)
    assert await cluster.states([job]) == ["RETRYING"]


async def test_another_primary_holds_everything_back() -> None:
    cluster = Cluster()
    await cluster.add_node()
    job = await a_running_job(cluster)
    reaper = await watching(cluster)
    await silence(cluster)
    cluster.leases.elections += 1

    await look_for(cluster, reaper, 55)
    assert reaper.holding_back is not None
    assert reaper.holding_back.cause == NEW_PRIMARY
    assert await cluster.states([job]) == ["RUNNING"]

    await look_for(cluster, reaper, 15)
    assert await cluster.states([job]) == ["RETRYING"]


async def test_the_status_tells_what_is_held_back() -> None:
    cluster = Cluster()
    service = SchedulerService(cluster.services, cluster.metrics)
    async with service:
        await service._reaper.run_once()
        status = service.status()

    assert status.holding_back is not None
    assert status.holding_back.cause == NEW_LEADER


def test_passes_are_much_closer_than_beats() -> None:
    assert make_reaper(Cluster()).every == 1.0
    quick = Cluster(LEASE_SECONDS=2, LEASE_BEAT_SECONDS=0.4, LEASE_MARGIN_SECONDS=0.4)
    assert make_reaper(quick).every == pytest.approx(0.1)
