"""Batches over every store: all or nothing, counted from the jobs, each change once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from app.clock import SystemClock
from app.domain import batch_transitions
from app.domain.batch_transitions import apply_batch, cancel_batch, pause_batch, resume_batch, settle_batch
from app.domain.batches import Batch, BatchKind, BatchQuery, BatchStatus, Callback, Counts, ExecutionMode, member_id
from app.domain.errors import Invalid
from app.domain.job import Job
from app.domain.limits import batch_limit
from app.domain.ports import BatchStore, JobStore, LimitStore
from app.domain.priority import Priority
from app.domain.records import JobQuery
from app.domain.states import JobStatus
from app.domain.transitions import Stamp, place
from app.storage import batch_documents
from app.storage import layout as layout_module
from app.storage.batches import MongoBatchStore
from app.storage.indexes import INDEXES, ensure_indexes
from app.storage.jobs import MongoJobStore
from app.storage.layout import PART_JOBS
from app.storage.limits import MongoLimitStore
from app.storage.memory.batches import MemoryBatchStore
from app.storage.memory.jobs import MemoryJobStore
from app.storage.memory.limits import MemoryLimitStore
from app.storage.mongo import Database
from app.storage.whole_batches import WholeBatches
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

    async def test_the_newest_of_its_history_are_kept(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (batch_transitions, batch_documents):
            monkeypatch.setattr(module, "MOST_ENTRIES", 3)
        batch = a_batch()
        await world.add(batch)
        for n in range(4):
            change = (pause_batch if n % 2 == 0 else resume_batch)(batch, stamp(n), None)
            assert change is not None and await world.batches.commit(batch, change)
            batch = apply_batch(batch, change)
        stored = await world.now(batch)
        assert [entry.seq for entry in stored.history] == [3, 4, 5]
        assert replace(stored, control=None) == replace(batch, control=None)

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

    async def test_those_are_kept_that_have_not_ended_so_long_ago(self, world: World) -> None:
        going_on, ended = a_batch(1), a_batch(1)
        await world.add(going_on)
        await world.add(ended)
        done = settle_batch(ended, Counts({S.COMPLETED: 1}), stamp(60))
        assert done is not None and await world.batches.commit(ended, done)
        ids, minute = [going_on.id, ended.id, "batch_none"], timedelta(seconds=60)
        assert await world.batches.kept(ids, NOW + minute) == {going_on.id, ended.id}
        assert await world.batches.kept(ids, NOW + 2 * minute) == {going_on.id}

    async def test_the_first_that_is_open(self, world: World) -> None:
        batch, ended = a_batch(4), a_batch(1)
        await world.add(batch, "COMPLETED", "FAILED", "PAUSED", "SUBMITTED")
        await world.add(ended, "COMPLETED")
        found = await world.batches.first_open([batch.id, ended.id])
        assert found == {batch.id: member_id(batch.id, 2)}


class TestWhatACrashLeaves:
    """Over MongoDB: a process dies between any two of its writes, and nobody ever sees a part of its batch."""

    @pytest.fixture
    async def indexed(self, mongo: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
        monkeypatch.setattr(layout_module, "ABREAST", 1)
        await ensure_indexes(mongo, {"jobs": INDEXES["jobs"], "batches": INDEXES["batches"]})
        return mongo

    async def _dies(self, mongo: Database, batch: Batch, jobs: Sequence[Job], at: str, key: str = "k") -> None:
        """Insert it with a process that dies at this call of its layout; `copy`: after a part of the jobs."""
        store = MongoBatchStore(mongo)
        layout = store._layout
        copy = layout._copy

        async def dies(*_: Any) -> Any:
            raise Died

        async def copies_one(part: Any) -> None:
            await copy(part)
            raise Died

        if at == "copy":
            layout._copy = copies_one  # type: ignore[method-assign]
        elif at == "record":
            store._keyed.insert = dies  # type: ignore[method-assign]
        else:
            setattr(layout, at, dies)
        with pytest.raises(Died):
            await store.insert(batch, jobs, answer(key, b"first"))

    async def _seen(self, mongo: Database, batch: Batch) -> tuple[bool, int]:
        """Whether another process sees the batch, and how many of its jobs, by every way of reading them."""
        batches, jobs = MongoBatchStore(mongo), MongoJobStore(mongo)
        ids = [member_id(batch.id, n) for n in range(batch.size)]
        listed = (await jobs.find(JobQuery(batch_id=batch.id, limit=batch.size))).jobs
        by_id = await jobs.get_many(ids)
        assert await jobs.count(JobQuery(batch_id=batch.id)) == len(listed)
        single = [job_id for job_id in ids[:3] if await jobs.get(job_id)]
        assert len(listed) == len(by_id) and len(single) == min(3, len(listed))
        shown = await batches.get(batch.id) is not None
        assert shown == bool((await batches.find(BatchQuery())).batches) == bool(await batches.open(9))
        return shown, len(listed)

    @pytest.mark.parametrize("at", ["stage", "record", "copy", "drop"])
    async def test_all_or_nothing_is_seen_and_the_key_gives_one_batch(self, indexed: Database, at: str) -> None:
        left = a_batch(600)
        jobs = jobs_of(left)
        await self._dies(indexed, left, jobs, at)
        stored = await indexed["jobs"].count_documents({})
        assert stored == {"stage": 0, "record": 0, "copy": PART_JOBS, "drop": 600}[at]
        assert await self._seen(indexed, left) == ((True, 600) if at == "drop" else (False, 0))
        again = a_batch(600)
        kept = await MongoBatchStore(indexed).insert(again, jobs_of(again), answer("k", b"second"))
        accepted = at in {"copy", "drop"}
        assert (None if kept is None else kept.answer) == (b"first" if accepted else None)
        assert await self._seen(indexed, left if accepted else again) == (True, 600)
        assert await indexed["jobs"].count_documents({}) == 600, "nothing of the other one"

    async def test_the_keeper_finishes_what_nobody_comes_back_for(self, indexed: Database) -> None:
        batch = a_batch(600)
        await self._dies(indexed, batch, jobs_of(batch), "copy")
        store = MongoBatchStore(indexed)
        assert await store.finish_left(batch.submitted_at, 9) == 0, "it is not old enough"
        assert await self._seen(indexed, batch) == (False, 0)
        assert await store.finish_left(batch.submitted_at + timedelta(seconds=1), 9) == 1
        assert await self._seen(indexed, batch) == (True, 600)
        assert await indexed["batch_parts"].count_documents({}) == 0
        assert await store.finish_left(batch.submitted_at + timedelta(seconds=1), 9) == 0

    async def test_what_two_finish_at_once_is_there_once_and_what_ran_meanwhile_stays(self, indexed: Database) -> None:
        batch = a_batch(600)
        jobs = jobs_of(batch)
        await self._dies(indexed, batch, jobs, "copy")
        assert await MongoJobStore(indexed).commit([place(jobs[0], "n1", (), stamp())]) == [True]
        later = batch.submitted_at + timedelta(seconds=1)
        await asyncio.gather(*(MongoBatchStore(indexed).finish_left(later, 9) for _ in range(3)))
        assert await self._seen(indexed, batch) == (True, 600)
        moved = await MongoJobStore(indexed).get(jobs[0].id)
        assert moved is not None and moved.status is JobStatus.SCHEDULED

    async def test_without_hiding_a_part_would_be_seen(
        self, indexed: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The negative control of all above."""
        batch = a_batch(600)
        await self._dies(indexed, batch, jobs_of(batch), "copy")

        async def everything(_: Any, documents: Any) -> Any:
            return documents

        monkeypatch.setattr(WholeBatches, "shown", everything)
        page = await MongoJobStore(indexed).find(JobQuery(batch_id=batch.id, limit=600))
        assert len(page.jobs) == PART_JOBS

    async def test_a_job_that_cannot_be_stored_refuses_all(self, indexed: Database) -> None:
        batch = a_batch(600)
        jobs = jobs_of(batch)
        jobs[500] = replace(jobs[500], parameters={"x": 1 << 70})
        with pytest.raises(Invalid) as refusal:
            await MongoBatchStore(indexed).insert(batch, jobs)
        assert (refusal.value.code, refusal.value.errors[0].path) == ("not_storable", "jobs[500]")
        assert await self._seen(indexed, batch) == (False, 0)
        assert await indexed["batch_parts"].count_documents({}) == 0

    async def test_a_job_in_no_state_that_there_is_hides_no_counts(self, indexed: Database) -> None:
        batch = a_batch(3)
        jobs = jobs_of(batch)
        store = MongoBatchStore(indexed)
        await store.insert(batch, jobs)
        await indexed["jobs"].update_one({"_id": jobs[1].id}, {"$set": {"status": "QUEUD"}})
        assert (await store.counts([batch.id]))[batch.id] == Counts({S.QUEUED: 2})

    async def test_large_jobs_are_parted_by_their_size(self, indexed: Database) -> None:
        batch = a_batch(12)
        jobs = [replace(job, parameters={"x": "y" * (1 << 20)}) for job in jobs_of(batch)]
        assert await MongoBatchStore(indexed).insert(batch, jobs) is None
        assert await self._seen(indexed, batch) == (True, 12)
        huge = a_batch(1)
        with pytest.raises(Invalid, match="at most 15 MiB"):
            await MongoBatchStore(indexed).insert(huge, [replace(jobs_of(huge)[0], parameters={"x": "y" * (15 << 20)})])


class Died(Exception):
    """The process is gone."""
