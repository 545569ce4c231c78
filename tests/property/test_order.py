"""Keys that hold any number of moves to one place; classes that are lent upwards and given back; and that a node more
never makes the forecast much later."""

from __future__ import annotations

import itertools
from bisect import insort
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import order_transitions
from app.domain.job import Job
from app.domain.order_keys import apart, key_between, spread
from app.domain.priority import RANK, Priority
from app.domain.states import JobStatus
from app.operations.cancel import cancel
from app.operations.change import lend_upwards
from app.operations.priority import set_priority
from app.scheduler.forecast import forecast
from tests.unit.domain.builders import a_job
from tests.unit.scheduler.builders import a_head, a_node, a_snapshot, seconds, vector
from tests.unit.scheduler.cluster import Cluster

MOVES = 10_000
CLASSES = st.sampled_from(list(Priority))


def moved(keys: list[float], at: int) -> list[float]:
    """The last of a queue is put at a place of it, as a reorder does: spread what is around when no key is left."""
    keys = keys[:-1]
    while (key := key_between(keys[at - 1] if at else None, keys[at], 0.0)) is None:
        start, end = max(0, at - 32), at + 32
        while (even := spread(keys[start:end])) is None and end - start < len(keys):
            start, end = max(0, start - 32), end + 32
        keys[start:end] = apart(keys) if even is None else even
    insort(keys, key)
    return keys


@pytest.mark.parametrize("at", [1, 3, 40])
def test_ten_thousand_moves_to_one_place_stay_in_order(at: int) -> None:
    keys = [1e14 + n * 1e6 for n in range(80)]
    for _ in range(MOVES):
        before = keys[:-1]
        keys = moved(keys, at)
        assert len(keys) == len(before) + 1
    assert all(a < b for a, b in itertools.pairwise(keys))


async def a_family(cluster: Cluster, classes: list[Priority], parents: list[list[int]]) -> list[Job]:
    """Jobs that wait for earlier ones; the first ones are queued."""
    jobs: list[Job] = []
    for n, (priority, above) in enumerate(zip(classes, parents, strict=True)):
        names = tuple(jobs[p].id for p in above)
        status = JobStatus.SUBMITTED if names else JobStatus.QUEUED
        job = replace(a_job(name=f"j{n}", priority=priority).job, dependencies=names, status=status)
        jobs.append(await cluster.add(job))
        await lend_upwards(cluster.services, job)
    return jobs


async def check(cluster: Cluster, jobs: list[Job]) -> None:
    """No job is considered later than one that waits for it, and none more urgently than all that do and itself."""
    now = [await cluster.job(job.id) for job in jobs]
    for job in now:
        if job.terminal:
            continue
        children = [c.effective_priority for c in now if job.id in c.dependencies and not c.terminal]
        wanted = min([job.priority, *children], key=RANK.__getitem__)
        assert job.effective_priority is wanted, (job.name, job.priority, children)


FAMILIES = st.integers(2, 7).flatmap(
    lambda n: st.tuples(
        st.lists(CLASSES, min_size=n, max_size=n),
        st.tuples(*(st.lists(st.integers(0, i - 1), unique=True, max_size=3) if i else st.just([]) for i in range(n))),
    )
)


@settings(max_examples=60, deadline=None)
@given(FAMILIES, st.lists(st.tuples(st.integers(0, 6), CLASSES), max_size=4))
async def test_classes_are_lent_upwards_and_given_back(
    family: tuple[list[Priority], tuple[list[int], ...]], changes: list[tuple[int, Priority]]
) -> None:
    cluster = Cluster()
    jobs = await a_family(cluster, family[0], list(family[1]))
    await check(cluster, jobs)
    for at, priority in changes:
        await set_priority(cluster.services, jobs[at % len(jobs)].id, priority, "ann", None)
        await check(cluster, jobs)
    await cancel(cluster.services, jobs[-1].id, "ann", None)
    await check(cluster, jobs)


async def test_without_inheritance_a_low_job_holds_up_an_urgent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_transitions, "effective_class", lambda own, _: own)
    cluster = Cluster()
    jobs = await a_family(cluster, [Priority.LOW, Priority.URGENT], [[], [0]])

    with pytest.raises(AssertionError):
        await check(cluster, jobs)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 8), st.integers(1, 30), st.integers(10, 600)), min_size=1, max_size=6),
    st.integers(1, 3),
)
def test_a_node_more_never_makes_the_forecast_much_later(found: list[tuple[int, int, int]], nodes: int) -> None:
    heads = [
        a_head(f"h{n}", of=vector(cores), count=count, keys=(float(n),), mean=seconds(s), cautious=seconds(s))
        for n, (cores, count, s) in enumerate(found)
    ]

    def mean_start(count: int) -> float:
        made = forecast(a_snapshot([a_node(f"n{n}") for n in range(count)], heads), 0.0)
        starts = [at for points in made.buckets.values() for _, at in points]
        return sum(starts) / len(starts)

    assert mean_start(nodes + 1) <= 1.05 * mean_start(nodes) + 1.0
