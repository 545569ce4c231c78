"""Places in named limits over every store: never one too many, all of a job's or none, safe to send again."""

from __future__ import annotations

import asyncio

import pytest

from app.domain.job import Job
from app.domain.limits import Place, batch_limit, holds_places
from app.domain.ports import LimitStore
from app.domain.priority import Priority
from app.domain.states import JobStatus
from app.storage.limits import PLACES, MongoLimitStore
from app.storage.memory.limits import MemoryLimitStore
from app.storage.mongo import Database
from tests.contract.conftest import Stores
from tests.unit.domain.builders import JobBuilder, a_batch, a_job, jobs_of

FOUR = {"main": 2, "other": 1}


@pytest.fixture
def limits(stores: Stores) -> LimitStore:
    return MemoryLimitStore() if stores.mongo is None else MongoLimitStore(stores.mongo)


async def test_no_more_than_there_are_places(limits: LimitStore) -> None:
    took = await asyncio.gather(*(limits.take(f"job_{n}", {"main": 3}, "t") for n in range(12)))
    assert took.count(True) == 3
    assert len((await limits.held())["main"]) == 3


async def test_a_place_that_is_held_is_taken_again_under_the_new_token(limits: LimitStore) -> None:
    assert await limits.take("job_1", {"main": 1}, "first")
    assert await limits.take("job_1", {"main": 1}, "second")
    assert not await limits.take("job_2", {"main": 1}, "t")
    assert await limits.held() == {"main": {"job_1": "second"}}


async def test_all_places_or_none(limits: LimitStore) -> None:
    assert await limits.take("job_1", {"other": 1}, "t")
    assert not await limits.take("job_2", {"main": 2, "other": 1}, "t")
    assert await limits.held() == {"other": {"job_1": "t"}}
    await limits.release([Place("other", "job_1")])
    assert await limits.take("job_2", {"main": 2, "other": 1}, "t")


async def test_jobs_that_need_the_same_two_places_never_hold_one_each(limits: LimitStore) -> None:
    for _ in range(5):
        took = await asyncio.gather(*(limits.take(f"job_{n}", {"main": 1, "other": 1}, "t") for n in range(6)))
        held = await limits.held()
        assert took.count(True) == 1
        assert held["main"] == held["other"]
        await limits.release([Place(name, f"job_{n}") for name in ("main", "other") for n in range(6)])


async def test_nothing_to_take_is_taken(limits: LimitStore) -> None:
    assert await limits.take("job_1", {}, "t")
    assert await limits.held() == {}


async def test_a_smaller_limit_lets_nobody_in_and_sends_nobody_away(limits: LimitStore) -> None:
    for n in range(3):
        assert await limits.take(f"job_{n}", {"main": 3}, "t")
    assert not await limits.take("job_3", {"main": 2}, "t")
    await limits.release([Place("main", "job_0")])
    assert not await limits.take("job_3", {"main": 2}, "t")
    await limits.release([Place("main", "job_1"), Place("main", "job_1"), Place("none", "job_1")])
    assert await limits.take("job_3", {"main": 2}, "t")


async def test_a_place_that_was_taken_anew_is_not_released_by_who_saw_the_old_one(limits: LimitStore) -> None:
    await limits.take("job_1", {"main": 1}, "old")
    await limits.take("job_1", {"main": 1}, "new")
    await limits.release([Place("main", "job_1", "old")])
    assert await limits.held() == {"main": {"job_1": "new"}}
    await limits.release([Place("main", "job_1", "new")])
    assert await limits.held() == {}


async def test_what_is_held_in_truth_is_noted_whatever_the_size(limits: LimitStore) -> None:
    await limits.take("job_1", {"main": 1}, "t")
    await limits.hold([Place("main", "job_1"), Place("main", "job_2"), Place("other", "job_2")], "noted")
    assert await limits.held() == {"main": {"job_1": "t", "job_2": "noted"}, "other": {"job_2": "noted"}}


async def test_what_is_not_ours_in_the_document_is_looked_past(mongo: Database) -> None:
    store = MongoLimitStore(mongo)
    assert await store.take("job_1", {"main": 2}, "t")
    await mongo["limits"].update_one({"_id": PLACES}, {"$set": {"held.main.job_2": 7, "held.other": "x"}})
    assert await store.held() == {"main": {"job_1": "t"}}


def limited(builder: JobBuilder, *names: str, **fields: object) -> Job:
    return builder.but(limits=names, **fields).job


async def test_who_waits_for_a_place_stands_by_class_and_key(stores: Stores) -> None:
    waiting = [
        limited(a_job(eligible=False), "main", order_key=key, effective_priority=priority)
        for key, priority in ((3.0, Priority.LOW), (2.0, Priority.URGENT), (1.0, Priority.LOW), (9.0, Priority.URGENT))
    ]
    others = [limited(a_job(eligible=False), "other"), limited(a_job(), "main"), a_job(eligible=False).job]
    for job in (*waiting, *others):
        await stores.jobs.insert(job)
    low_late, urgent, low, urgent_late = waiting
    assert await stores.jobs.waiting_for(["main"], 10) == [urgent, urgent_late, low, low_late]
    assert await stores.jobs.waiting_for(["main"], 1) == [urgent, low]
    assert await stores.jobs.waiting_counts(["main", "other", "none"]) == {"main": 4, "other": 1, "none": 0}


async def test_the_store_tells_who_must_have_places_as_the_domain_does(stores: Stores) -> None:
    jobs = [
        limited(builder, "main", "other")
        for builder in (
            a_job(eligible=False), a_job(eligible=False).held(), a_job(), a_job().queued().held(), a_job().scheduled(),
            a_job().running(), a_job().frozen(), a_job().released(), a_job().retrying(), a_job().retrying().held(),
            a_job().completed(), a_job().failed(),
        )
    ]  # fmt: skip
    for job in (*jobs, a_job().running().job):
        await stores.jobs.insert(job)
    want = {job.id: ("main", "other") for job in jobs if holds_places(job)}
    assert len(want) == 8
    assert await stores.jobs.place_holders() == want


async def test_waiting_jobs_of_a_tenant_are_counted_no_further_than_asked(stores: Stores) -> None:
    builders = [a_job(eligible=False), a_job(), a_job().retrying(), a_job().running(), a_job().completed()]
    for builder in builders:
        await stores.jobs.insert(builder.but(tenant="vision").job)
    await stores.jobs.insert(a_job().job)
    counts = [await stores.jobs.waiting_of("vision", most) for most in (0, 1, 3, 9)]
    assert counts == [0, 1, 3, 3]


async def test_other_keys_are_given_to_those_that_wait_at_the_present_ones(stores: Stores) -> None:
    queued, moved, started = (a_job().but(order_key=float(n)).job for n in (1, 2, 3))
    running = a_job().running().but(order_key=4.0).job
    for job in (queued, moved, started, running):
        await stores.jobs.insert(job)
    asked = [(queued.id, 1.0, 1.5), (moved.id, 9.0, 2.5), (running.id, 4.0, 4.5), ("job_none", 1.0, 2.0)]
    for _ in range(2):
        tickets = await stores.jobs.rekey(asked)
    found = await stores.jobs.get_many([queued.id, moved.id, started.id, running.id])
    assert [found[j.id].order_key for j in (queued, moved, started, running)] == [1.5, 2.0, 3.0, 4.0]
    assert found[queued.id].seq == queued.seq
    assert {t.job_id for t in tickets} <= {queued.id}
    assert await stores.jobs.rekey([]) == []
    assert found[queued.id].status is JobStatus.QUEUED
    [ticket] = await stores.jobs.rekey([(started.id, 3.0, 3.25)])
    assert (ticket.job_id, ticket.key) == (started.id, 3.25)


class TestBatches:
    """A batch with a width is a limit of its own, beside the named ones."""

    NAME = batch_limit("batch_1")

    async def test_its_places_are_counted_apart(self, limits: LimitStore) -> None:
        took = await asyncio.gather(*(limits.take(f"job_{n}", {self.NAME: 2}, "t") for n in range(8)))
        assert took.count(True) == 2
        assert await limits.take("job_other", {batch_limit("batch_2"): 1, "main": 1}, "t")
        held = await limits.held()
        assert {name: len(holders) for name, holders in held.items()} == {
            self.NAME: 2,
            batch_limit("batch_2"): 1,
            "main": 1,
        }
        assert set(await limits.held([self.NAME])) == {self.NAME}
        assert await limits.held([]) == {}

    async def test_its_place_is_taken_before_the_named_ones_and_kept(self, limits: LimitStore) -> None:
        assert await limits.take("job_1", {"main": 1}, "t")
        assert not await limits.take("job_2", {self.NAME: 1, "main": 1}, "t")
        assert await limits.held() == {self.NAME: {"job_2": "t"}, "main": {"job_1": "t"}}
        assert not await limits.take("job_3", {self.NAME: 1, "main": 2}, "t"), "the batch is full"
        assert await limits.held() == {self.NAME: {"job_2": "t"}, "main": {"job_1": "t"}}
        await limits.release([Place("main", "job_1")])
        assert await limits.take("job_2", {self.NAME: 1, "main": 1}, "u")

    async def test_nothing_is_kept_of_one_without_holders(self, limits: LimitStore) -> None:
        await limits.hold([Place(self.NAME, "job_1"), Place(batch_limit("batch_2"), "job_2")], "t")
        await limits.release([Place(self.NAME, "job_1")])
        await limits.forget_empty()
        assert await limits.held() == {batch_limit("batch_2"): {"job_2": "t"}}
        if isinstance(limits, MongoLimitStore):
            assert await limits._limits.count_documents({}) == 1
        assert await limits.take("job_1", {self.NAME: 1}, "t"), "it comes again when it is needed"


async def test_jobs_of_a_batch_with_a_width_must_have_places(stores: Stores) -> None:
    batch = a_batch(4, max_parallel=2)
    jobs = jobs_of(batch, "QUEUED", "SUBMITTED", "RUNNING", "COMPLETED")
    for job in (*jobs, *jobs_of(a_batch(1))):
        await stores.jobs.insert(job)
    name = batch_limit(batch.id)
    assert await stores.jobs.place_holders() == {jobs[0].id: (name,), jobs[2].id: (name,)}
