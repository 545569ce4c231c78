"""Batches over every store: all or nothing, counted from the jobs, each change once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from app.clock import SystemClock
from app.domain.batch_transitions import apply_batch, cancel_batch, pause_batch, settle_batch
from app.domain.batches import Batch, BatchKind, BatchQuery, BatchStatus, Callback, Counts, ExecutionMode, member_id
from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.limits import batch_limit
from app.domain.ports import BatchStore, JobStore, LimitStore
from app.domain.priority import Priority
from app.domain.states import JobStatus
from app.domain.transitions import Stamp
from app.storage.batches import MongoBatchStore
from app.storage.indexes import INDEXES, ensure_indexes
from app.storage.limits import MongoLimitStore
from app.storage.memory.batches import MemoryBatchStore
from app.storage.memory.jobs import MemoryJobStore
from app.storage.memory.limits import MemoryLimitStore
from app.storage.mongo import Database
from app.storage.transactions import end_abandoned
from tests.contract.conftest import Stores, answer
from tests.unit.domain.builders import NOW, a_batch, jobs_of

S = JobStatus


@dataclass(frozen=True, slots=True)
class World:
    """Batches with what they stand beside."""

    batches: BatchStore
    jobs: JobStore
    limits: LimitStore

    async def add(self, batch: Batch, *statuses: str) -> list[Job]:
        jobs = jobs_of(batch, *statuses)
        assert await self.batches.insert(batch, jobs) is None
        return jobs

    async def now(self, batch: Batch) -> Batch:
        found = await self.batches.get(batch.id)
        assert found is not None
        return found


@pytest.fixture
async def world(stores: Stores) -> World:
    if stores.mongo is None:
        assert isinstance(stores.jobs, MemoryJobStore)
        limits = MemoryLimitStore()
        return World(MemoryBatchStore(stores.jobs, limits, SystemClock()), stores.jobs, limits)
    wanted = {"jobs": INDEXES["jobs"], "batches": INDEXES["batches"]}
    await ensure_indexes(stores.mongo, wanted)
    return World(MongoBatchStore(stores.mongo), stores.jobs, MongoLimitStore(stores.mongo))


def stamp(seconds: float = 1) -> Stamp:
    return Stamp(NOW + timedelta(seconds=seconds), "ann", f"op-{seconds}")


class TestInsertion:
    async def test_a_batch_and_its_jobs_come_back_as_they_went(self, world: World) -> None:
        batch = a_batch(
            2, mode=ExecutionMode.SEQUENTIAL, fail_fast=True, template="noop", callback=Callback("https://x.test/"),
            metadata={"who": "ann"}, spec={"space": {"C": [1, 2]}}, kind=BatchKind.SWEEP,
        )  # fmt: skip
        jobs = await world.add(batch)
        assert await world.now(batch) == batch
        assert await world.jobs.get_many([j.id for j in jobs]) == {j.id: j for j in jobs}

    async def test_inserted_twice_it_is_there_once(self, world: World) -> None:
        batch = a_batch(3)
        await world.add(batch)
        await world.add(batch)
        assert (await world.batches.counts([batch.id]))[batch.id].laid_out == 3

    async def test_more_jobs_than_one_statement_takes(self, world: World) -> None:
        batch = a_batch(501)
        await world.add(batch)
        assert (await world.batches.counts([batch.id]))[batch.id] == Counts({S.QUEUED: 501})

    async def test_an_answer_is_kept_with_it_and_given_to_the_next(self, world: World) -> None:
        batch, other = a_batch(2), a_batch(2)
        assert await world.batches.insert(batch, jobs_of(batch), answer("k", b"first")) is None
        kept = await world.batches.insert(other, jobs_of(other), answer("k", b"second"))
        assert kept is not None and kept.answer == b"first"
        assert await world.batches.get(other.id) is None
        assert (await world.batches.counts([other.id]))[other.id].laid_out == 0, "nothing of the second is left"
        assert await world.batches.answer_under("k") == kept
        assert await world.batches.answer_under("other") is None

    async def test_of_many_with_one_key_at_once_one_is_stored(self, world: World) -> None:
        batches = [a_batch(20) for _ in range(5)]
        kept = await asyncio.gather(*(world.batches.insert(b, jobs_of(b), answer("k", b.id.encode())) for b in batches))
        stored = [b for b in batches if await world.batches.get(b.id)]
        assert len(stored) == 1
        assert {k.answer for k in kept if k} == {stored[0].id.encode()} and kept.count(None) == 1
        counts = await world.batches.counts([b.id for b in batches])
        assert sorted(c.laid_out for c in counts.values()) == [0, 0, 0, 0, 20]

    async def test_jobs_that_begin_in_the_queue_hold_their_places(self, world: World) -> None:
        batch = a_batch(4, max_parallel=2)
        jobs = await world.add(batch, "QUEUED", "QUEUED", "SUBMITTED", "SUBMITTED")
        name = batch_limit(batch.id)
        assert set((await world.limits.held([name]))[name]) == {jobs[0].id, jobs[1].id}
        assert await world.jobs.place_holders() == {jobs[0].id: (name,), jobs[1].id: (name,)}
        assert not await world.limits.take(jobs[2].id, {name: 2}, "t")


class TestChanges:
    async def test_a_change_is_made_once_and_told_as_made_when_it_is_sent_again(self, world: World) -> None:
        batch = a_batch()
        await world.add(batch)
        change = pause_batch(batch, stamp(), "lunch")
        assert change is not None
        assert await world.batches.commit(batch, change)
        assert await world.batches.commit(batch, change)
        assert await world.now(batch) == apply_batch(batch, change)
        late = cancel_batch(batch, stamp(2), None)
        assert late is not None and not await world.batches.commit(batch, late)

    async def test_a_change_of_none_is_lost(self, world: World) -> None:
        batch = a_batch()
        change = pause_batch(batch, stamp(), None)
        assert change is not None and not await world.batches.commit(batch, change)

    async def test_a_wish_goes_when_it_is_carried_out_unless_another_took_its_place(self, world: World) -> None:
        batch = a_batch()
        await world.add(batch)
        first = pause_batch(batch, stamp(), None)
        assert first is not None and await world.batches.commit(batch, first)
        paused = await world.now(batch)
        second = pause_batch(paused, stamp(2), None, release=True)
        assert second is not None and await world.batches.commit(paused, second)
        assert paused.control is not None
        await world.batches.carried_out(batch.id, paused.control)
        released = await world.now(batch)
        assert released.wants("release") and released.control is not None
        await world.batches.carried_out(batch.id, released.control)
        assert (await world.now(batch)).control is None

    async def test_counts_are_recorded_while_the_batch_is_as_it_was(self, world: World) -> None:
        batch = a_batch()
        await world.add(batch)
        counts = Counts({S.RUNNING: 1, S.QUEUED: 2})
        await world.batches.record_counts(batch, counts, NOW)
        assert ((await world.now(batch)).counts, (await world.now(batch)).seq) == (counts, 1)
        await world.batches.record_counts(replace(batch, seq=7), Counts(), NOW)
        assert (await world.now(batch)).counts == counts

    async def test_a_delivery_is_recorded_by_one(self, world: World) -> None:
        batch = a_batch(1, callback=Callback("https://x.test/"))
        await world.add(batch)
        change = settle_batch(batch, Counts({S.COMPLETED: 1}), stamp())
        assert change is not None and await world.batches.commit(batch, change)
        due = await world.batches.callbacks_due(stamp().at, 10)
        assert [b.id for b in due] == [batch.id]
        before = due[0].callback
        assert before is not None
        after = replace(before, tries=1, due=None, delivered_at=stamp(2).at)
        assert await world.batches.record_callback(batch.id, before, after)
        assert not await world.batches.record_callback(batch.id, before, after)
        assert (await world.now(batch)).callback == after
        assert await world.batches.callbacks_due(stamp(9).at, 10) == []


class TestQuestions:
    async def test_pages_newest_first_and_filters(self, world: World) -> None:
        batches = [a_batch(1, now=NOW + timedelta(minutes=n)) for n in range(5)]
        batches[1] = replace(batches[1], kind=BatchKind.SWEEP)
        for batch in batches:
            await world.add(batch)
        ids = [b.id for b in batches]
        page = await world.batches.find(BatchQuery(limit=2))
        assert [b.id for b in page.batches] == ids[:2:-1] and page.next_after == ids[3]
        page = await world.batches.find(BatchQuery(limit=3, after=page.next_after))
        assert [b.id for b in page.batches] == ids[2::-1] and page.next_after is None
        assert [b.id for b in (await world.batches.find(BatchQuery(kind=BatchKind.SWEEP))).batches] == [ids[1]]
        done = settle_batch(batches[2], Counts({S.COMPLETED: 1}), stamp())
        assert done is not None and await world.batches.commit(batches[2], done)
        ended = BatchQuery(status=frozenset({BatchStatus.COMPLETED}))
        assert [b.id for b in (await world.batches.find(ended)).batches] == [ids[2]]
        assert [b.id for b in await world.batches.open(9)] == [ids[0], ids[1], ids[3], ids[4]]
        assert [b.id for b in await world.batches.open(2, after=ids[1])] == [ids[3], ids[4]]

    async def test_counts_follow_the_jobs(self, world: World) -> None:
        one, other = a_batch(5), a_batch(1)
        await world.add(one, "QUEUED", "RUNNING", "COMPLETED", "FAILED", "COMPLETED")
        await world.add(other)
        found = await world.batches.counts([one.id, other.id, "batch_none"])
        assert found[one.id] == Counts({S.QUEUED: 1, S.RUNNING: 1, S.COMPLETED: 2, S.FAILED: 1})
        assert (found[other.id], found["batch_none"]) == (Counts({S.QUEUED: 1}), Counts())

    async def test_the_next_in_order_of_each_class(self, world: World) -> None:
        batch = a_batch(6, max_parallel=1)
        jobs = jobs_of(batch, "QUEUED", *["SUBMITTED"] * 5)
        jobs[4] = replace(jobs[4], effective_priority=Priority.URGENT)
        await world.batches.insert(batch, jobs)
        ids = [job.id for job in jobs]
        assert await world.batches.next_waiting(batch.id, 2) == [ids[4], ids[1], ids[2]]

    async def test_the_first_that_is_open(self, world: World) -> None:
        batch, ended = a_batch(4), a_batch(1)
        await world.add(batch, "COMPLETED", "FAILED", "PAUSED", "SUBMITTED")
        await world.add(ended, "COMPLETED")
        found = await world.batches.first_open([batch.id, ended.id])
        assert found == {batch.id: member_id(batch.id, 2)}


class TestTransactions:
    """Over MongoDB: what a process leaves that dies in the middle."""

    @pytest.fixture
    async def indexed(self, mongo: Database) -> Database:
        await ensure_indexes(mongo, {"jobs": INDEXES["jobs"], "batches": INDEXES["batches"]})
        return mongo

    async def test_a_failure_in_the_middle_leaves_nothing(self, indexed: Database) -> None:
        batch = a_batch(600)
        jobs = jobs_of(batch)
        store = MongoBatchStore(indexed)
        spoilt = [*jobs[:500], replace(jobs[500], parameters={"x": 1 << 70}), *jobs[501:]]
        with pytest.raises(OverflowError):
            await store.insert(batch, spoilt)
        assert await store.get(batch.id) is None
        assert (await store.counts([batch.id]))[batch.id].laid_out == 0

    async def test_a_transaction_that_was_left_open_locks_its_key_until_it_is_ended(self, indexed: Database) -> None:
        """Negative control first: without the look at what was left behind, the key stays locked."""
        left = a_batch(3)
        session = await _left_open(indexed, left)
        try:
            batch = a_batch(3)
            with pytest.raises((Unavailable, OperationFailure)):
                await _insert_raw(indexed, batch)
            assert await end_abandoned(indexed, idle=0.0) >= 1
            assert await MongoBatchStore(indexed).insert(batch, jobs_of(batch), answer("k")) is None
            assert await MongoBatchStore(indexed).get(left.id) is None
        finally:
            await session.end_session()

    async def test_whoever_meets_the_conflict_ends_what_was_left(self, indexed: Database) -> None:
        session = await _left_open(indexed, a_batch(3))
        try:
            batch = a_batch(3)
            assert await MongoBatchStore(indexed).insert(batch, jobs_of(batch), answer("k")) is None
        finally:
            await session.end_session()


async def _left_open(mongo: Database, batch: Batch) -> Any:
    """A session that has written a batch under the key `k`, and will neither commit nor abort."""
    started = mongo.client.start_session()
    session = await started if asyncio.iscoroutine(started) else started
    begun = session.start_transaction()
    if asyncio.iscoroutine(begun):
        await begun
    await mongo["batches"].insert_one({"_id": batch.id, "keyed": {"key": "k"}}, session=session)
    return session


async def _insert_raw(mongo: Database, batch: Batch) -> None:
    async with mongo.transaction() as session:
        await mongo["batches"].insert_one({"_id": batch.id, "keyed": {"key": "k"}}, session=session)
