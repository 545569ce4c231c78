"""The graph of dependencies over every store: its edges, and the guard that lets no two close a cycle together."""

from __future__ import annotations

import asyncio

import pytest

from app.domain.dependencies import Waits
from app.domain.dependency_transitions import add_parents
from app.domain.job import DependencyType, Job
from app.domain.ports import DependencyGraph
from app.domain.transitions import Change, Stamp
from app.storage.graph import MongoDependencyGraph
from app.storage.memory.graph import MemoryDependencyGraph
from app.storage.memory.jobs import MemoryJobStore
from tests.contract.conftest import Stores, inserted
from tests.unit.domain.builders import NOW, a_job

KIND = DependencyType.ALL_COMPLETE


@pytest.fixture
def graph(stores: Stores) -> DependencyGraph:
    if stores.mongo is not None:
        return MongoDependencyGraph(stores.mongo)
    assert isinstance(stores.jobs, MemoryJobStore)
    return MemoryDependencyGraph(stores.jobs)


def edge(job: Job, parent: Job, op: str = "add") -> Change:
    parents = (*job.dependencies, parent.id)
    return add_parents(job, parents, KIND, Waits((parent.id,)), Stamp(NOW, "ann", f"{op}-{job.id}"))


async def test_edges_are_seen_from_both_ends(stores: Stores, graph: DependencyGraph) -> None:
    [a] = await inserted(stores, a_job())
    [b, c] = await inserted(stores, *(a_job(eligible=False, dependencies=(a.id,)) for _ in range(2)))
    assert await graph.parents_of([a.id, b.id, "job_none"]) == {a.id: (), b.id: (a.id,)}
    assert await graph.children_of([a.id, b.id]) == {a.id: tuple(sorted((b.id, c.id)))}


async def test_an_edge_raises_the_version_and_changes_the_job(stores: Stores, graph: DependencyGraph) -> None:
    a, b = await inserted(stores, a_job(), a_job())
    assert await graph.version() == 0
    assert await graph.commit(b, edge(b, a), 0)
    assert await graph.version() == 1
    after = await stores.jobs.get(b.id)
    assert after is not None and (after.status, after.dependencies) == ("SUBMITTED", (a.id,))
    assert after.history[-1].reason == "dependency_added"


async def test_sent_again_it_is_made_once(stores: Stores, graph: DependencyGraph) -> None:
    a, b = await inserted(stores, a_job(), a_job())
    change = edge(b, a)
    assert await graph.commit(b, change, 0)
    assert await graph.commit(b, change, 0)
    after = await stores.jobs.get(b.id)
    assert after is not None and after.seq == 2 and await graph.version() == 1


async def test_an_old_version_changes_nothing(stores: Stores, graph: DependencyGraph) -> None:
    a, b, c = await inserted(stores, a_job(), a_job(), a_job())
    assert await graph.commit(b, edge(b, a), 0)
    assert not await graph.commit(c, edge(c, a), 0)
    assert await stores.jobs.get(c.id) == c
    assert await graph.commit(c, edge(c, a), 1)


async def test_a_job_that_moved_leaves_the_version_alone(stores: Stores, graph: DependencyGraph) -> None:
    a, b = await inserted(stores, a_job(), a_job())
    assert await graph.commit(b, edge(b, a), 0)
    assert not await graph.commit(b, edge(b, a, "late"), 1)
    assert await graph.version() == 1


@pytest.mark.parametrize("begun", [False, True])
async def test_of_two_edges_at_once_on_one_version_one_is_made(
    stores: Stores, graph: DependencyGraph, begun: bool
) -> None:
    a, b, c, d = await inserted(stores, a_job(), a_job(), a_job(), a_job())
    if begun:
        assert await graph.commit(d, edge(d, c), 0)
    version = await graph.version()
    made = await asyncio.gather(graph.commit(a, edge(a, b), version), graph.commit(b, edge(b, a), version))
    assert sorted(made) == [False, True]
    assert await graph.version() == version + 1
