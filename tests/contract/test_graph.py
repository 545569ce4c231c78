"""The graph of dependencies over every store: its edges, and the announcements by which no two close a cycle."""

from __future__ import annotations

import asyncio

import pytest

from app.domain.dependencies import Waits
from app.domain.dependency_transitions import add_parents
from app.domain.job import DependencyType, Job
from app.domain.ports import DependencyGraph
from app.domain.ports.graph import GraphState
from app.domain.transitions import Change, Stamp
from app.storage.graph import DOCUMENT, MongoDependencyGraph
from app.storage.memory.graph import MemoryDependencyGraph
from app.storage.memory.jobs import MemoryJobStore
from app.storage.mongo import Database
from tests.contract.conftest import Stores, inserted
from tests.unit.domain.builders import NOW, a_job

KIND = DependencyType.ANY_FAILED


@pytest.fixture
def graph(stores: Stores) -> DependencyGraph:
    if stores.mongo is not None:
        return MongoDependencyGraph(stores.mongo)
    assert isinstance(stores.jobs, MemoryJobStore)
    return MemoryDependencyGraph(stores.jobs)


def edge(job: Job, parent: Job, op: str = "add") -> Change:
    parents = (*job.dependencies, parent.id)
    return add_parents(job, parents, KIND, Waits((parent.id,)), Stamp(NOW, "ann", f"{op}-{job.id}"), "why")


async def test_edges_are_seen_from_both_ends(stores: Stores, graph: DependencyGraph) -> None:
    [a] = await inserted(stores, a_job())
    [b, c] = await inserted(stores, *(a_job(eligible=False, dependencies=(a.id,)) for _ in range(2)))
    assert await graph.parents_of([a.id, b.id, "job_none"]) == {a.id: (), b.id: (a.id,)}
    assert await graph.children_of([a.id, b.id], 9) == {a.id: tuple(sorted((b.id, c.id)))}
    [[child]] = (await graph.children_of([a.id, b.id], 1)).values()
    assert child in {b.id, c.id}


async def test_what_is_announced_is_seen_by_all_until_it_is_settled(stores: Stores, graph: DependencyGraph) -> None:
    a, b = await inserted(stores, a_job(), a_job())
    assert await graph.state() == GraphState()
    change = edge(b, a)
    assert await graph.announce(change, 0)
    assert await graph.state() == GraphState(1, {b.id: change})
    assert await stores.jobs.get(b.id) == b, "an announcement changes no job"
    [announced] = (await graph.state()).announced.values()
    assert await stores.jobs.commit([announced]) == [True], "it is the whole change"
    after = await stores.jobs.get(b.id)
    assert after is not None and (after.status, after.dependencies, after.dependency_type) == (
        "SUBMITTED",
        (a.id,),
        KIND,
    )
    await graph.settle(change)
    assert await graph.state() == GraphState(1)


async def test_sent_again_it_is_announced_once(stores: Stores, graph: DependencyGraph) -> None:
    a, b = await inserted(stores, a_job(), a_job())
    for _ in range(2):
        assert await graph.announce(edge(b, a), 0)
    assert (await graph.state()).version == 1
    for _ in range(2):
        await graph.settle(edge(b, a))


async def test_an_old_version_announces_nothing(stores: Stores, graph: DependencyGraph) -> None:
    a, b, c = await inserted(stores, a_job(), a_job(), a_job())
    assert await graph.announce(edge(b, a), 0)
    assert not await graph.announce(edge(c, a), 0)
    assert set((await graph.state()).announced) == {b.id}
    assert await graph.announce(edge(c, a), 1)


async def test_one_change_of_a_job_is_announced_at_a_time(stores: Stores, graph: DependencyGraph) -> None:
    a, b, c = await inserted(stores, a_job(), a_job(), a_job())
    assert await graph.announce(edge(b, a), 0)
    assert not await graph.announce(edge(b, c, "other"), 1)
    await graph.settle(edge(b, c, "other"))
    assert set((await graph.state()).announced) == {b.id}, "another change settles nothing"
    await graph.settle(edge(b, a))
    assert await graph.announce(edge(b, c, "other"), 1)


@pytest.mark.parametrize("begun", [False, True])
async def test_of_many_at_once_at_one_version_one_is_announced(
    stores: Stores, graph: DependencyGraph, begun: bool
) -> None:
    parent, *jobs = await inserted(stores, *(a_job() for _ in range(9)))
    if begun:
        assert await graph.announce(edge(jobs.pop(), parent), 0)
    version = (await graph.state()).version
    made = await asyncio.gather(*(graph.announce(edge(job, parent), version) for job in jobs))
    assert made.count(True) == 1
    assert (await graph.state()).version == version + 1


async def test_an_announcement_that_was_spoilt_announces_nothing(mongo: Database) -> None:
    spoilt = {"_id": DOCUMENT, "version": 3, "announced": {"job_a": {"seq": 1}, "job_b": 7}}
    await mongo["graph"].insert_one(spoilt)
    assert await MongoDependencyGraph(mongo).state() == GraphState(3)
