"""Parents that are added to jobs that exist: what is refused, what follows, and what a crash leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import Invalid, InvalidTransition, PreconditionFailed
from app.domain.job import DependencyType
from app.domain.priority import Priority
from app.domain.specification import JobRequest
from app.metrics import Metrics
from app.operations import cycles
from app.operations.dependencies import LEFT, add_dependencies
from app.operations.pause import pause
from app.operations.resume import resume
from app.operations.submit import Submitted, submit
from app.scheduler.reconciler import Reconciler
from app.services import Services
from tests.support.clock import FixedClock
from tests.support.memory import Died, ends, running, states, the_job, tick
from tests.unit.api.harness import FakeHealth, memory_services

T = DependencyType


@pytest.fixture
def services() -> Services:
    return memory_services(FixedClock(), FakeHealth(), CONCURRENCY_LIMITS='{"main": 1}')


async def submitted(services: Services, *parents: str, **fields: Any) -> str:
    seen: list[str] = []

    def render(done: Submitted) -> bytes:
        seen.append(done.job.id)
        return b""

    tick(services)
    await submit(services, JobRequest("noop", dependencies=parents, **fields), "ann", render)
    return seen[0]


async def several(services: Services, count: int) -> list[str]:
    return [await submitted(services) for _ in range(count)]


async def add(services: Services, job: str, *parents: str, kind: T | None = None, **more: Any) -> Any:
    return await add_dependencies(services, job, parents, kind, "ann", **more)


class TestAdding:
    async def test_a_queued_job_leaves_the_queue_until_its_parents_have_ended(self, services: Services) -> None:
        a, b = await several(services, 2)
        job = await add(services, b, a, reason="data first")
        assert (job.status, job.dependencies, job.queued_at) == ("SUBMITTED", (a,), None)
        entry = job.history[-1]
        assert (entry.reason, entry.actor, entry.detail) == ("dependency_added", "ann", "data first")
        assert await services.queue.locate([b]) == {}
        await ends(services, a)
        assert await states(services, b) == ["QUEUED"]
        assert b in await services.queue.locate([b])

    async def test_one_that_waits_already_waits_for_more(self, services: Services) -> None:
        a, b = await several(services, 2)
        child = await submitted(services, a)
        job = await add(services, child, b, a)
        assert (job.dependencies, job.history[-1].reason) == ((a, b), "dependencies_added")
        await ends(services, a)
        assert await states(services, child) == ["SUBMITTED"]
        await ends(services, b)
        assert await states(services, child) == ["QUEUED"]

    async def test_what_it_names_already_is_no_change(self, services: Services) -> None:
        a, b = await several(services, 2)
        first = await add(services, b, a)
        assert await add(services, b, a, a) == first
        assert (await add(services, b, a, kind=T.ALL_FINISHED)).dependency_type is T.ALL_FINISHED

    async def test_a_parent_that_has_ended_as_wanted_keeps_it_in_the_queue(self, services: Services) -> None:
        a, b = await several(services, 2)
        await ends(services, a)
        job = await add(services, b, a)
        assert (job.status, job.history[-1].reason, job.dependencies) == ("QUEUED", "dependencies_added", (a,))

    async def test_another_type_may_let_it_go(self, services: Services) -> None:
        a, b, c = await several(services, 3)
        child = await submitted(services, a, b)
        await ends(services, a)
        assert (await add(services, child, c, kind=T.ANY_COMPLETE)).status == "QUEUED"

    async def test_a_held_one_stays_held_and_waits_when_it_is_resumed(self, services: Services) -> None:
        a, b = await several(services, 2)
        await pause(services, b, "ann", None)
        assert (await add(services, b, a)).status == "PAUSED"
        assert (await resume(services, b, "ann", None)).status == "SUBMITTED"

    async def test_its_places_are_given_back(self, services: Services) -> None:
        a = await submitted(services)
        first, second = [await submitted(services, limits=("main",)) for _ in range(2)]
        assert await states(services, first, second) == ["QUEUED", "SUBMITTED"]
        await add(services, first, a)
        assert await states(services, first, second) == ["SUBMITTED", "QUEUED"]

    async def test_its_class_is_lent_upwards(self, services: Services) -> None:
        a = await submitted(services, priority=Priority.LOW)
        b = await submitted(services, a, priority=Priority.LOW)
        urgent = await submitted(services, priority=Priority.URGENT)
        await add(services, urgent, b)
        for job_id in (a, b):
            assert (await the_job(services, job_id)).effective_priority is Priority.URGENT

    async def test_a_parent_that_fails_between_the_look_and_the_change_fails_it(self, services: Services) -> None:
        a, b = await several(services, 2)
        announce = services.graph.announce

        async def late(*given: Any) -> bool:
            await ends(services, a, "FAILED")
            return await announce(*given)

        services.graph.announce = late  # type: ignore[method-assign]
        job = await add(services, b, a)
        assert (job.status, job.history[-1].detail) == ("FAILED", a)


class TestRefusals:
    async def test_an_unknown_job_is_refused_with_its_place(self, services: Services) -> None:
        a, b = await several(services, 2)
        with pytest.raises(Invalid) as refusal:
            await add(services, b, a, "job_none", "job_other")
        assert refusal.value.code == "unknown_job"
        assert [e.path for e in refusal.value.errors] == ["depends_on[1]", "depends_on[2]"]
        assert (await the_job(services, b)).dependencies == (), "it is refused whole"

    async def test_what_can_be_no_id_is_refused(self, services: Services) -> None:
        [a] = await several(services, 1)
        with pytest.raises(Invalid) as refusal:
            await add(services, a, "Job-1")
        assert [e.path for e in refusal.value.errors] == ["depends_on[0]"]

    async def test_itself(self, services: Services) -> None:
        a, b = await several(services, 2)
        with pytest.raises(Invalid, match=f"it would wait for itself: {a} → {a}") as refusal:
            await add(services, a, b, a)
        assert (refusal.value.code, refusal.value.errors[0].path) == ("cycle", "depends_on[1]")

    @pytest.mark.parametrize("length", [2, 3, 30])
    async def test_a_cycle_at_any_distance_is_refused_with_its_way(self, services: Services, length: int) -> None:
        chain = [await submitted(services)]
        for _ in range(length - 1):
            chain.append(await submitted(services, chain[-1]))
        with pytest.raises(Invalid) as refusal:
            await add(services, chain[0], chain[-1])
        assert refusal.value.code == "cycle"
        said = refusal.value.errors[0].message.split(": ")[1].split(";")[0].split(" → ")
        way = [chain[0], *reversed(chain)]
        assert said == (way if len(way) <= 20 else [*way[:18], "…", *way[-2:]])
        assert await states(services, chain[0]) == ["QUEUED"]

    async def test_a_cycle_through_jobs_that_have_ended_is_one(self, services: Services) -> None:
        """They may be retried, and would wait then."""
        a = await submitted(services)
        b = await submitted(services, a, dependency_type=T.ANY_FAILED)
        c = await submitted(services, b, dependency_type=T.ALL_FINISHED)
        await pause(services, a, "ann", None)
        with pytest.raises(Invalid) as refusal:
            await add(services, a, c, kind=T.ALL_FINISHED)
        assert refusal.value.code == "cycle"

    async def test_a_graph_that_is_too_large_to_tell_is_refused(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cycles, "MOST_SEARCHED", 5)
        a, b = await several(services, 2)
        for _ in range(4):
            b = await submitted(services, b)
            await submitted(services, a)
        with pytest.raises(Invalid) as refusal:
            await add(services, a, b)
        assert refusal.value.code == "graph_too_large"

    async def test_a_parent_that_has_failed_is_refused_unless_the_type_takes_it(self, services: Services) -> None:
        a, b = await several(services, 2)
        await ends(services, a, "FAILED")
        with pytest.raises(Invalid) as refusal:
            await add(services, b, a)
        assert (refusal.value.code, refusal.value.errors[0].path) == ("dependency_failed", "depends_on[0]")
        assert (await add(services, b, a, kind=T.ANY_FAILED)).status == "QUEUED"

    @pytest.mark.parametrize("how", ["RUNNING", "COMPLETED", "FAILED", "RETRYING"])
    async def test_a_job_that_has_started_is_refused_whole(self, services: Services, how: str) -> None:
        a, b = await several(services, 2)
        await running(services, b)
        if how != "RUNNING":
            await ends(services, b, how)
        with pytest.raises(InvalidTransition) as refusal:
            await add(services, b, a)
        assert (refusal.value.current, (await the_job(services, b)).dependencies) == (how, ())

    async def test_another_version_is_refused(self, services: Services) -> None:
        a, b = await several(services, 2)
        with pytest.raises(PreconditionFailed):
            await add(services, b, a, expected_seq=7)


class TestTogether:
    @pytest.mark.parametrize("length", [2, 5])
    async def test_of_those_that_close_a_cycle_together_exactly_one_is_refused(
        self, services: Services, length: int
    ) -> None:
        jobs = await several(services, length)
        pairs = list(zip(jobs, [*jobs[1:], jobs[0]], strict=True))
        found = await asyncio.gather(*(add(services, a, b) for a, b in pairs), return_exceptions=True)
        refused = [error for error in found if isinstance(error, BaseException)]
        assert [type(error) for error in refused] == [Invalid] and refused[0].code == "cycle"
        assert (await services.graph.state()).announced == {}

    async def test_without_the_version_both_would_be_made(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The negative control."""
        a, b = await several(services, 2)
        announce = services.graph.announce

        async def always(change: Any, version: int) -> bool:
            await asyncio.sleep(0)
            return await announce(change, (await services.graph.state()).version)

        monkeypatch.setattr(services.graph, "announce", always)
        found = await asyncio.gather(add(services, a, b), add(services, b, a), return_exceptions=True)
        assert not any(isinstance(error, BaseException) for error in found)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=14), st.integers(1, 6))
    def test_however_edges_come_the_graph_stays_without_cycles(self, edges: list[tuple[int, int]], width: int) -> None:
        async def tried() -> None:
            services = memory_services(FixedClock(), FakeHealth())
            jobs = await several(services, 6)
            for start in range(0, len(edges), width):
                together = (add(services, jobs[a], jobs[b]) for a, b in edges[start : start + width])
                await asyncio.gather(*together, return_exceptions=True)
            parents = {job: set((await the_job(services, job)).dependencies) for job in jobs}
            while free := [job for job, waits in parents.items() if not waits]:
                parents = {job: waits - set(free) for job, waits in parents.items() if job not in free}
            assert parents == {}, "what is left waits for itself"

        asyncio.run(tried())


class TestWhatACrashLeaves:
    @pytest.mark.parametrize("at", ["commit", "settle"])
    async def test_what_was_announced_is_made_by_whoever_meets_it(
        self, services: Services, at: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a, b, c = await several(services, 3)

        async def dies(*_: Any) -> Any:
            raise Died

        with monkeypatch.context() as patch:
            patch.setattr(services.jobs if at == "commit" else services.graph, at, dies)
            with pytest.raises(Died):
                await add(services, a, b)
        with pytest.raises(Invalid) as refusal:
            await add(services, b, a)
        assert refusal.value.code == "cycle", "everybody counts with it"
        reconciler = Reconciler(services, Metrics())
        await reconciler.make_announced()
        assert set((await services.graph.state()).announced) == {a}, "its maker may still be at it"
        tick(services, LEFT.total_seconds() + 1)
        await reconciler.make_announced()
        assert (await services.graph.state()).announced == {}
        job = await the_job(services, a)
        assert (job.status, job.dependencies, job.seq) == ("SUBMITTED", (b,), 2)
        await add(services, c, a)

    async def test_a_maker_that_comes_back_late_changes_nothing_twice(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a, b = await several(services, 2)
        commit = services.jobs.commit
        waiting, going = asyncio.Event(), asyncio.Event()

        async def late(changes: Any) -> Any:
            if not going.is_set():
                waiting.set()
                going.set()
                await resumed.wait()
            return await commit(changes)

        resumed = asyncio.Event()
        monkeypatch.setattr(services.jobs, "commit", late)
        maker = asyncio.create_task(add(services, a, b))
        await waiting.wait()
        tick(services, LEFT.total_seconds() + 1)
        await Reconciler(services, Metrics()).make_announced()
        resumed.set()
        job = await maker
        assert (job.dependencies, job.seq, len(job.history)) == ((b,), 2, 2)

    async def test_one_whose_job_went_on_is_dropped(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        a, b = await several(services, 2)

        async def dies(*_: Any) -> Any:
            raise Died

        with monkeypatch.context() as patch:
            patch.setattr(services.jobs, "commit", dies)
            with pytest.raises(Died):
                await add(services, a, b)
        await running(services, a)
        tick(services, LEFT.total_seconds() + 1)
        await Reconciler(services, Metrics()).make_announced()
        assert (await services.graph.state()).announced == {}
        assert (await the_job(services, a)).dependencies == ()
        await add(services, b, a)


async def test_a_hopeless_chain_ends_whole_and_every_one_names_the_first_cause(services: Services) -> None:
    chain = [await submitted(services)]
    for n in range(120):
        chain.append(await submitted(services, chain[-1], dependency_type=T.NONE_FAILED if n % 2 else T.ALL_COMPLETE))
    cleanup = await submitted(services, chain[60], dependency_type=T.ANY_FAILED)
    await ends(services, chain[0], "FAILED")
    assert await states(services, *chain) == ["FAILED"] * 121
    jobs = [await the_job(services, job_id) for job_id in chain[1:]]
    assert {(job.history[-1].reason, job.history[-1].detail) for job in jobs} == {("dependency_failed", chain[0])}
    assert await states(services, cleanup) == ["QUEUED"], "what waits for a failure may run"
