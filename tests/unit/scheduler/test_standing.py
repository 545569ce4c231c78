"""What the leader carries from cycle to cycle, and hands on to the next leader."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.errors import Unavailable
from app.domain.promises import Promise
from app.scheduler import standing
from app.scheduler.cycle import Cycle
from tests.support.wait import until
from tests.unit.domain.builders import a_job
from tests.unit.scheduler.cluster import Cluster

SIX, ALL = ({"cpu_cores": cores, "memory_gb": 1} for cores in (6, 8))


async def promised(cluster: Cluster) -> tuple[Promise, ...]:
    board = await cluster.queue.board()
    return board.promises if board else ()


async def blocked() -> Cluster:
    """A node that is nearly full. What was decided so far has just been kept."""
    cluster = Cluster()
    await cluster.add_node()
    await cluster.add(a_job(name="runs", resources=SIX))
    await cluster.cycle.run_once(1)
    await until(lambda: _kept(cluster))
    return cluster


async def _kept(cluster: Cluster) -> bool:
    return (await cluster.scheduler.state()).credit > 0


async def _promise_kept(cluster: Cluster) -> bool:
    return bool((await cluster.scheduler.state()).promises)


async def test_a_promise_made_just_after_a_write_is_written_although_nothing_changes_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = await blocked()
    await cluster.add(a_job(name="waits", resources=ALL))
    await cluster.cycle.run_once(1)
    assert not await _promise_kept(cluster)

    monkeypatch.setattr(standing, "KEEP_EVERY", 0.0)
    await cluster.cycle.run_once(1)
    await until(lambda: _promise_kept(cluster))


async def test_what_a_store_refused_is_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = await blocked()
    monkeypatch.setattr(standing, "KEEP_EVERY", 0.0)
    keep = cluster.scheduler.keep

    async def away(*_: Any) -> bool:
        raise Unavailable("MongoDB")

    monkeypatch.setattr(cluster.scheduler, "keep", away)
    await cluster.add(a_job(name="waits", resources=ALL))
    await cluster.cycle.run_once(1)
    assert not await _promise_kept(cluster)

    monkeypatch.setattr(cluster.scheduler, "keep", keep)

    async def again() -> bool:
        await cluster.cycle.run_once(1)
        return await _promise_kept(cluster)

    await until(again)


async def test_the_next_leader_keeps_the_promises_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = await blocked()
    monkeypatch.setattr(standing, "KEEP_EVERY", 0.0)
    await cluster.add(a_job(name="waits", resources=ALL))
    await cluster.cycle.run_once(1)
    await until(lambda: _promise_kept(cluster))
    [before] = (await cluster.scheduler.state()).promises
    cluster.clock.advance(60)

    await Cycle(cluster.services, cluster.metrics).run_once(2)

    [after] = await promised(cluster)
    assert (after.since, after.by, after.limit) == (before.since, before.by, before.limit)
