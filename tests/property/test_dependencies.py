"""Random graphs of jobs of every dependency type, whose ends come in any order, with a crash between any two writes:
each child is released or ended once, when its parents allow it, and nobody waits in the end (I7)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.dependencies import End, Hopeless, Met, decide, end_of
from app.domain.job import DependencyType, Job
from app.domain.records import JobQuery
from app.domain.specification import JobRequest
from app.domain.states import TERMINAL, JobStatus
from app.domain.transitions import Change
from app.metrics import Metrics
from app.operations.cancel import cancel
from app.operations.submit import Submitted, submit
from app.scheduler.reconciler import Reconciler
from app.services import Services
from tests.support.clock import FixedClock
from tests.support.memory import Died, ends, the_job, tick
from tests.unit.api.harness import FakeHealth, memory_services

ENDS = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED")
RELEASED = {"eligible", "dependency_failed"}


@dataclass
class Node:
    """A job to be: its parents by number, its type, and how it ends if it runs."""

    parents: list[int]
    kind: DependencyType
    end: str


@dataclass
class Crashes:
    """Dies at these numbers of commits, before or after the write."""

    at: dict[int, str]
    seen: int = field(default=0)

    def watch(self, services: Services) -> None:
        commit = services.jobs.commit

        async def dying(changes: Sequence[Change]) -> list[bool]:
            self.seen += 1
            when = self.at.get(self.seen)
            if when == "before":
                raise Died
            done = await commit(changes)
            if when == "after":
                raise Died
            return done

        services.jobs.commit = dying  # type: ignore[method-assign]


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    size = draw(st.integers(2, 8))
    return [
        Node(
            draw(st.lists(st.integers(0, n - 1), unique=True, max_size=min(n, 3))) if n else [],
            draw(st.sampled_from(list(DependencyType))),
            draw(st.sampled_from(ENDS)),
        )
        for n in range(size)
    ]


crashes = st.dictionaries(st.integers(1, 40), st.sampled_from(["before", "after"]), max_size=6)


async def submitted(services: Services, nodes: Sequence[Node]) -> list[str]:
    ids: list[str] = []

    def render(done: Submitted) -> bytes:
        ids.append(done.job.id)
        return b""

    for node in nodes:
        tick(services)
        parents = tuple(ids[n] for n in node.parents)
        await submit(services, JobRequest("noop", dependencies=parents, dependency_type=node.kind), "ann", render)
    return ids


async def run_all(services: Services, ids: Sequence[str], nodes: Sequence[Node], order: Iterator[int]) -> None:
    """End whatever is in the queue, in a drawn order, until nothing is; what crashed is reconciled and done again."""
    reconciler = Reconciler(services, Metrics())
    while True:
        jobs = [await the_job(services, job_id) for job_id in ids]
        live = [n for n, job in enumerate(jobs) if job.status in {"QUEUED", "SCHEDULED", "RUNNING"}]
        if not live:
            return
        n = live[next(order) % len(live)]
        tick(services)
        with suppress(Died):
            await end(services, ids[n], nodes[n].end)
        for _ in range(2 * len(nodes)):
            with suppress(Died):
                await reconciler.promote_missed()


async def end(services: Services, job_id: str, how: str) -> None:
    job = await the_job(services, job_id)
    if (how == "CANCELLED" and job.status is JobStatus.QUEUED) or job.status is JobStatus.SCHEDULED:
        await cancel(services, job_id, "ann", None)
    else:
        await ends(services, job_id, "COMPLETED" if how == "CANCELLED" else how)


def ends_at(parents: Sequence[Job], moment: datetime) -> dict[str, End]:
    """Where the parents were at that moment."""
    return {p.id: end_of(p) if p.finished_at and p.finished_at <= moment else End.OPEN for p in parents}


def check(job: Job, parents: Sequence[Job]) -> None:
    """It was released or ended once, by a verdict that stood at that moment."""
    assert job.status in TERMINAL
    releases = [entry for entry in job.history if entry.reason in RELEASED]
    if not parents:
        assert releases == []
        return
    [release] = releases
    verdict = decide(job.dependency_type, ends_at(parents, release.at))
    assert isinstance(verdict, Met if release.reason == "eligible" else Hopeless), (job.dependency_type, parents)
    if release.reason == "dependency_failed":
        assert job.history[-1] is release or job.history[-1] == release


@settings(max_examples=120, deadline=None)
@given(graphs(), crashes, st.lists(st.integers(0, 1_000), min_size=1, max_size=30))
def test_each_child_is_released_once_when_its_parents_allow_it(
    nodes: list[Node], at: dict[int, str], choices: list[int]
) -> None:
    async def tried() -> None:
        services = memory_services(FixedClock(), FakeHealth())
        ids = await submitted(services, nodes)
        Crashes(at).watch(services)
        await run_all(services, ids, nodes, _cycled(choices))
        jobs = {job.id: job for job in (await services.jobs.find(JobQuery(limit=100))).jobs}
        for job_id, node in zip(ids, nodes, strict=True):
            check(jobs[job_id], [jobs[ids[n]] for n in node.parents])

    asyncio.run(tried())


def _cycled(choices: Sequence[Any]) -> Iterator[Any]:
    while True:
        yield from choices
