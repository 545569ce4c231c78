"""Ends of runs: gathered, decided again after a lost race, and one bad result that holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.capacity.kinds import NodeType
from app.domain.control_transitions import request_control
from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.nodes import Node
from app.domain.resources import Vector
from app.domain.transitions import Change, apply
from app.refusals import Refusals
from tests.support.wait import until
from tests.unit.domain.builders import a_job
from tests.unit.scheduler.builders import a_node
from workers import ends
from workers.ends import REFUSED, Ends
from workers.outcome import Ending
from workers.run import RunEnding, RunKey, RunReport


class Store:
    """The store's part: jobs by id, changes by compare-and-set, batches remembered."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.batches: list[int] = []
        self.nodes: list[Node] = []
        self.capacity = SimpleNamespace(provider="none", types=dict[str, NodeType]())
        self.refuse: str | None = None
        self.lose: str | None = None
        self.away = 0
        self.slow = asyncio.Event()
        self.slow.set()

    async def commit_all(self, _: object, pairs: Sequence[tuple[Job, Change]]) -> list[Job | None]:
        self.batches.append(len(pairs))
        await self.slow.wait()
        if self.away:
            self.away -= 1
            raise Unavailable("MongoDB")
        if any(job.id == self.refuse and change.fields.get("result") for job, change in pairs):
            raise ValueError("document too large")
        return [self._commit(change) for _, change in pairs]

    def _commit(self, change: Change) -> Job | None:
        job = self.jobs[change.job_id]
        if job.seq != change.seq or (job.id == self.lose and change.fields.get("result")):
            return None
        self.jobs[job.id] = apply(job, change)
        return self.jobs[job.id]

    async def get_many(self, ids: Sequence[str]) -> dict[str, Job]:
        return {job_id: self.jobs[job_id] for job_id in ids if job_id in self.jobs}

    def services(self) -> Any:
        nodes = SimpleNamespace(all=self.all_nodes)
        settings = SimpleNamespace(capacity=self.capacity)
        return SimpleNamespace(
            jobs=self, nodes=nodes, settings=settings, stamp=lambda: a_job().stamp(), refusals=Refusals()
        )

    async def all_nodes(self) -> list[Node]:
        return self.nodes


def finished(job: Job) -> Ending:
    return Ending(RunKey(job.id, job.run_no), RunReport(RunEnding.FINISHED), result={"metrics": {}, "steps": {}})


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store(*(a_job().running().job for _ in range(5)))
    monkeypatch.setattr(ends, "commit_all", found.commit_all)
    monkeypatch.setattr("workers.patience.FIRST_PAUSE", 0.001)
    return found


async def test_what_ends_during_a_commit_goes_with_the_next(store: Store) -> None:
    store.slow.clear()
    async with Ends(store.services(), 1.0) as all_ends:
        commits = [asyncio.create_task(all_ends.commit(job, finished(job))) for job in list(store.jobs.values())[:1]]
        await until(lambda: store.batches)
        commits += [asyncio.create_task(all_ends.commit(job, finished(job))) for job in list(store.jobs.values())[1:]]
        await asyncio.sleep(0)
        store.slow.set()
        after = await asyncio.gather(*commits)
    assert store.batches == [1, 4]
    assert all(job is not None and job.status == "COMPLETED" for job in after)


async def test_a_lost_race_is_decided_again_on_the_job_as_it_is(store: Store) -> None:
    job = next(iter(store.jobs.values()))
    store.jobs[job.id] = apply(job, request_control(job, "cancel", a_job().stamp("ann"), "enough"))
    async with Ends(store.services(), 1.0) as all_ends:
        failed = Ending(RunKey(job.id, job.run_no), RunReport(RunEnding.ERROR, "broke"))
        after = await all_ends.commit(job, failed)
    assert after is not None and (after.status, after.seq) == ("CANCELLED", job.seq + 2)


async def test_a_run_that_is_no_longer_the_jobs_is_left_alone(store: Store) -> None:
    job = next(iter(store.jobs.values()))
    store.jobs[job.id] = other = a_job().but(id=job.id).completed().job
    async with Ends(store.services(), 1.0) as all_ends:
        assert await all_ends.commit(job, finished(job)) is None
    assert store.jobs[job.id] is other


async def test_a_store_that_is_away_is_waited_for(store: Store) -> None:
    store.away = 2
    job = next(iter(store.jobs.values()))
    async with Ends(store.services(), 1.0) as all_ends:
        after = await all_ends.commit(job, finished(job))
    assert after is not None and after.status == "COMPLETED" and store.batches == [1, 1, 1]


GPU_NODE = a_node("gpu", Vector(8_000, 4_096, 2, 100), labels={"zone": "a"})
LARGE_NODE = a_node("large", Vector(64_000, 262_144, 0, 1_000), labels={"zone": "b"})


@pytest.mark.parametrize(
    ("needs", "selector", "most"),
    [
        (Vector(1_000, 3_000, 1, 0), {}, 4_096),
        (Vector(1_000, 3_000, 0, 0), {"zone": "a"}, 4_096),
        (Vector(1_000, 3_000, 0, 0), {}, 4_500),
    ],
    ids=["needs a GPU", "chose a zone", "goes anywhere"],
)
async def test_memory_grows_to_no_more_than_a_node_has_that_could_hold_the_job(
    store: Store, needs: Vector, selector: dict[str, str], most: int
) -> None:
    """Else it would wait for ever, where a try with all that there is might do."""
    store.nodes = [GPU_NODE, LARGE_NODE]
    job = a_job().running().but(resources=needs, node_selector=selector).job
    store.jobs[job.id] = job
    async with Ends(store.services(), 1.0) as all_ends:
        killed = Ending(RunKey(job.id, job.run_no), RunReport(RunEnding.OUT_OF_MEMORY, "too little"))
        after = await all_ends.commit(job, killed)
    assert after is not None and (after.status, after.resources.memory_mib) == ("RETRYING", most)


@pytest.mark.parametrize(
    ("provider", "count", "grown"),
    [("local", 1, 4_500), ("local", 0, 3_072), ("none", 1, 3_072)],
    ids=["may come", "none of the type", "nobody creates it"],
)
async def test_memory_grows_to_what_a_node_has_that_may_be_created(
    store: Store, provider: str, count: int, grown: int
) -> None:
    store.nodes = [a_node("small", Vector(8_000, 3_072, 0, 100))]
    store.capacity.provider = provider
    store.capacity.types["large"] = NodeType("large", Vector(8_000, 65_536, 0, 100), most=count)
    job = a_job().running().but(resources=Vector(1_000, 3_000, 0, 0)).job
    store.jobs[job.id] = job
    async with Ends(store.services(), 1.0) as all_ends:
        killed = Ending(RunKey(job.id, job.run_no), RunReport(RunEnding.OUT_OF_MEMORY, "too little"))
        after = await all_ends.commit(job, killed)
    assert after is not None and after.resources.memory_mib == grown


async def test_a_result_that_the_store_refuses_fails_its_own_job_only(store: Store) -> None:
    bad, *good = store.jobs.values()
    store.refuse = bad.id
    async with Ends(store.services(), 1.0) as all_ends:
        after = await asyncio.gather(*(all_ends.commit(job, finished(job)) for job in (bad, *good)))
    assert [job.status for job in after if job] == ["FAILED", *["COMPLETED"] * 4]
    assert after[0] is not None and after[0].error is not None
    assert after[0].error.message.startswith(REFUSED) and after[0].result is None


async def test_a_result_that_is_refused_among_others_does_not_go_round_for_ever(store: Store) -> None:
    """Group commit answers "lost" for it, and the others' ends keep coming."""
    bad, *good = store.jobs.values()
    store.lose = bad.id
    async with Ends(store.services(), 1.0) as all_ends:
        after = await asyncio.gather(*(all_ends.commit(job, finished(job)) for job in (bad, *good)))
    assert [job.status for job in after if job] == ["FAILED", *["COMPLETED"] * 4]
    assert store.batches == [5, 1]


async def ended_frozen(store: Store, ending: RunEnding, asked: str | None = None) -> Job:
    """What becomes of a job that stands frozen when its run ends so."""
    frozen = a_job().frozen()
    if asked:
        frozen.job = apply(frozen.job, request_control(frozen.job, asked, frozen.stamp("ann"), None))
    job = store.jobs[frozen.job.id] = frozen.job
    async with Ends(store.services(), 1.0) as all_ends:
        result = {"metrics": {}, "steps": {}} if ending is RunEnding.FINISHED else None
        after = await all_ends.commit(
            job, Ending(RunKey(job.id, job.run_no), RunReport(ending, "it ended"), None, result)
        )
    assert after is not None and after == store.jobs[job.id] and len(after.attempts) == 1
    return after


async def test_a_frozen_run_that_finished_by_itself_is_woken_and_completed(store: Store) -> None:
    after = await ended_frozen(store, RunEnding.FINISHED)
    assert [entry.reason for entry in after.history[-3:]] == ["paused", "resumed", "completed"]
    assert after.result is not None and store.batches == [1, 1]


async def test_a_frozen_run_that_was_killed_from_outside_keeps_its_job_paused(store: Store) -> None:
    """Its user has not resumed it."""
    after = await ended_frozen(store, RunEnding.ERROR)
    assert (after.released, after.attempts[0].outcome, store.batches) == (True, "error", [1])


async def test_a_frozen_run_that_was_resumed_and_had_to_leave_waits_again(store: Store) -> None:
    after = await ended_frozen(store, RunEnding.DRAINED, "resume")
    assert (after.status, [entry.reason for entry in after.history[-2:]]) == ("QUEUED", ["resumed", "drained"])


async def test_a_result_that_is_refused_after_a_frozen_run_was_woken_fails_the_job(store: Store) -> None:
    frozen = a_job().frozen().job
    store.jobs[frozen.id], store.refuse = frozen, frozen.id
    async with Ends(store.services(), 1.0) as all_ends:
        after = await all_ends.commit(frozen, finished(frozen))
    assert after is not None and after.status == "FAILED" and not after.on_node
