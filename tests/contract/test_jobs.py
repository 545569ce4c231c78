"""Jobs over every store: what goes in comes out, races have one winner, listings page, times come due."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.clock import SystemClock
from app.domain.control_transitions import cancel_waiting, request_control
from app.domain.durations import Duration
from app.domain.errors import Invalid
from app.domain.job import Control, Job, JobError, Progress, StepState
from app.domain.priority import Priority
from app.domain.queueing import ticket_of
from app.domain.records import JobQuery, StoredAnswer
from app.domain.resources import Vector
from app.domain.states import JobStatus
from app.domain.transitions import (
    Change,
    RunEnd,
    Stamp,
    apply,
    become_eligible,
    complete,
    fail,
    place,
    retry_later,
)
from app.storage.jobs import MongoJobStore
from app.storage.mongo import Database
from tests.contract.conftest import Stores
from tests.unit.domain.builders import NOW, JobBuilder, a_job

SECOND = timedelta(seconds=1)
JUST_NOW = SystemClock().now().replace(microsecond=0)


async def inserted(stores: Stores, *builders: JobBuilder) -> list[Job]:
    for builder in builders:
        await stores.jobs.insert(builder.job)
    return [b.job for b in builders]


def ids(jobs: Any) -> list[str]:
    return [job.id for job in jobs]


def answer(key: str, text: bytes = b'{"job_id": "job_1"}') -> StoredAnswer:
    return StoredAnswer(key, "digest", 201, text, JUST_NOW)


EVERYTHING = a_job(
    "ml_training",
    parameters={"dataset_name": "iris", "hyperparameters": {"n_estimators": 100, "max_features": None}},
    tags=("vision", "nightly"),
    metadata={"owner": "team", "n": 2**62, "deep": [1, {"x": None}]},
).running()


EXPECTED = Duration(60.0, 75.25, 120.5, "history", "template", 7)
LATER = ("pin", "prefer", "expected", "preempted")
"""Fields that jobs of the first version lack."""


class TestRoundTrip:
    @pytest.mark.parametrize(
        "job",
        [
            pytest.param(a_job(eligible=False).job, id="submitted"),
            pytest.param(a_job(start_after=NOW + SECOND, dependencies=("job_a", "job_b")).job, id="waiting"),
            pytest.param(EVERYTHING.job, id="running"),
            pytest.param(a_job().completed({"metrics": {"accuracy": 0.97}, "steps": {}}).job, id="completed"),
            pytest.param(a_job().failed("out_of_memory").job, id="failed"),
            pytest.param(a_job().retrying().job, id="retrying"),
        ],
    )
    async def test_a_job_of_each_kind(self, stores: Stores, job: Job) -> None:
        await stores.jobs.insert(job)
        assert await stores.jobs.get(job.id) == job

    async def test_everything_that_a_job_may_hold(self, stores: Stores) -> None:
        steps = (StepState("model_training", "RUNNING", NOW), StepState("model_storage", "PENDING"))
        job = replace(
            EVERYTHING.job,
            resources=Vector(4_000, 16_384, 2, 10),
            node_selector={"gpu.kind": "a100"},
            gpu_indices=(0, 3),
            limits=("main_orchestrator",),
            control=Control("cancel", "ada", None, NOW),
            error=JobError("error", "it broke", "model_training", 1, 9, "f00", ("line 1", "line 2")),
            progress=Progress(1, NOW, 0.64, "model_training", "64/100 trees", steps, {"loss": 0.2}),
            paused_from=JobStatus.RUNNING,
            batch_id="batch_1",
            workflow_id="workflow_1",
            step_id="train",
            queue_deadline=90.0,
            checkpoint="checkpoint-3",
            pin=4,
            prefer={"rack": "r1"},
            expected=EXPECTED,
            preempted=2,
        )
        await stores.jobs.insert(job)
        assert await stores.jobs.get(job.id) == job

    async def test_unknown_ids(self, stores: Stores) -> None:
        [job] = await inserted(stores, a_job())
        assert await stores.jobs.get("job_none") is None
        assert await stores.jobs.get_many(["job_none", job.id]) == {job.id: job}
        assert await stores.jobs.get_many([]) == {}

    async def test_inserting_twice_is_one_insert(self, stores: Stores) -> None:
        builder = a_job()
        await asyncio.gather(*(stores.jobs.insert(builder.job) for _ in range(3)))
        later = apply(builder.job, place(builder.job, "node-1", (), builder.stamp()))
        await stores.jobs.insert(later)
        assert await stores.jobs.get(builder.job.id) == builder.job

    async def test_two_hundred_at_once(self, stores: Stores) -> None:
        jobs = [a_job().job for _ in range(200)]
        await asyncio.gather(*(stores.jobs.insert(job) for job in jobs))
        assert await stores.jobs.get_many(ids(jobs)) == {job.id: job for job in jobs}


class TestAnswers:
    async def test_job_and_answer_are_stored_together(self, stores: Stores) -> None:
        job = a_job().job
        assert await stores.jobs.insert_with_answer(job, answer("key-1")) is None
        assert await stores.jobs.get(job.id) == job
        assert await stores.jobs.answer_under("key-1") == answer("key-1")
        assert await stores.jobs.answer_under("key-2") is None

    async def test_a_taken_key_answers_the_earlier_answer_and_stores_nothing(self, stores: Stores) -> None:
        await stores.jobs.insert_with_answer(a_job().job, answer("key-1", b"first"))
        second = a_job().job
        assert await stores.jobs.insert_with_answer(second, answer("key-1", b"second")) == answer("key-1", b"first")
        assert await stores.jobs.get(second.id) is None

    async def test_of_many_at_once_one_is_stored(self, stores: Stores) -> None:
        jobs = [a_job().job for _ in range(12)]
        earlier = await asyncio.gather(
            *(stores.jobs.insert_with_answer(job, answer("key-1", job.id.encode())) for job in jobs)
        )
        [winner] = await stores.jobs.get_many(ids(jobs))
        assert [found.answer.decode() if found else winner for found in earlier] == [winner] * 12

    async def test_the_same_insert_again_meets_itself(self, stores: Stores) -> None:
        """A write whose answer was lost is sent again."""
        job = a_job().job
        assert await stores.jobs.insert_with_answer(job, answer("key-1")) is None
        assert await stores.jobs.insert_with_answer(job, answer("key-1")) is None

    async def test_a_key_is_free_again_after_a_day_though_its_job_lives_on(self, stores: Stores) -> None:
        first, second, third = a_job().job, a_job().job, a_job().job
        yesterday = replace(answer("key-1", b"first"), at=JUST_NOW - timedelta(hours=25))
        assert await stores.jobs.insert_with_answer(first, yesterday) is None
        assert await stores.jobs.answer_under("key-1") is None
        again = answer("key-1", b"second")
        assert await stores.jobs.insert_with_answer(second, again) is None
        assert await stores.jobs.insert_with_answer(third, answer("key-1", b"third")) == again
        assert set(await stores.jobs.get_many(ids([first, second, third]))) == {first.id, second.id}

    async def test_of_many_that_want_an_old_key_one_is_stored(self, stores: Stores) -> None:
        yesterday = replace(answer("key-1"), at=JUST_NOW - timedelta(hours=25))
        await stores.jobs.insert_with_answer(a_job().job, yesterday)
        jobs = [a_job().job for _ in range(12)]
        earlier = await asyncio.gather(
            *(stores.jobs.insert_with_answer(job, answer("key-1", job.id.encode())) for job in jobs)
        )
        [winner] = await stores.jobs.get_many(ids(jobs))
        assert [found.answer.decode() if found else winner for found in earlier] == [winner] * 12

    async def test_the_key_of_a_job_stays_through_its_changes(self, stores: Stores) -> None:
        builder = a_job()
        await stores.jobs.insert_with_answer(builder.job, answer("key-1"))
        await stores.jobs.commit([place(builder.job, "node-1", (), builder.stamp())])
        assert await stores.jobs.answer_under("key-1") == answer("key-1")


class TestCommit:
    async def test_a_change_is_what_apply_says(self, stores: Stores) -> None:
        builder = a_job(eligible=False)
        await stores.jobs.insert(builder.job)
        for decide in (become_eligible, lambda j, s: place(j, "node-1", (1,), s)):
            change = decide(builder.job, builder.stamp())
            assert await stores.jobs.commit([change]) == [True]
            builder.job = apply(builder.job, change)
            assert await stores.jobs.get(builder.job.id) == builder.job

    @pytest.mark.parametrize("state", ["completed", "failed", "retrying"])
    async def test_the_ends_of_a_run(self, stores: Stores, state: str) -> None:
        """Every kind of field that a change can carry is stored as the domain says."""
        builder = a_job().running()
        await stores.jobs.insert(builder.job)
        before = builder.job
        change = _end_of(builder, state)
        assert await stores.jobs.commit([change]) == [True]
        assert await stores.jobs.get(before.id) == apply(before, change)

    async def test_one_of_two_on_the_same_version_wins(self, stores: Stores) -> None:
        builder = a_job()
        await stores.jobs.insert(builder.job)
        here = place(builder.job, "node-1", (), builder.stamp())
        there = cancel_waiting(builder.job, builder.stamp(), None)
        assert await stores.jobs.commit([here, there]) == [True, False]
        assert await stores.jobs.commit([there]) == [False]

    async def test_the_same_change_again_is_won_once(self, stores: Stores) -> None:
        builder = a_job(eligible=False)
        await stores.jobs.insert(builder.job)
        change = become_eligible(builder.job, builder.stamp())
        assert await stores.jobs.commit([change]) == [True]
        assert await stores.jobs.commit([change]) == [True]
        job = await stores.jobs.get(builder.job.id)
        assert job is not None
        assert [e.seq for e in job.history] == [1, 2]

    async def test_many_jobs_at_once_with_losers_between(self, stores: Stores) -> None:
        builders = [a_job(eligible=False) for _ in range(100)]
        await inserted(stores, *builders)
        for builder in builders[::3]:
            await stores.jobs.commit([cancel_waiting(builder.job, builder.stamp(), None)])
        verdicts = await stores.jobs.commit([become_eligible(b.job, b.stamp()) for b in builders])
        assert verdicts == [n % 3 != 0 for n in range(100)]

    async def test_fifty_committers_give_a_gapless_history(self, stores: Stores) -> None:
        builder = a_job().running()
        await stores.jobs.insert(builder.job)
        won: list[int] = []

        async def change(writer: int) -> None:
            for number in range(3):
                job = await stores.jobs.get(builder.job.id)
                assert job is not None
                wanted = request_control(job, "cancel", Stamp(NOW, "system", f"{writer}-{number}"), None)
                if await stores.jobs.commit([wanted]) == [True]:
                    won.append(wanted.entry.seq)

        await asyncio.gather(*(change(n) for n in range(50)))
        job = await stores.jobs.get(builder.job.id)
        assert job is not None
        assert [e.seq for e in job.history] == list(range(1, job.seq + 1))
        assert sorted(won) == list(range(4, job.seq + 1))

    async def test_a_job_that_does_not_exist_is_a_loss(self, stores: Stores) -> None:
        builder = a_job(eligible=False)
        assert await stores.jobs.commit([become_eligible(builder.job, builder.stamp())]) == [False]
        assert await stores.jobs.commit([]) == []


def _end_of(builder: JobBuilder, state: str) -> Change:
    """The change by which the builder's running job comes to this end."""
    error = JobError("error", "it broke", "noop", 1, None, "f00", ("a", "b"))
    end = RunEnd(812.5, 3.25, {"metrics": {"accuracy": 0.9}, "steps": {"noop": {"x": [1]}}}, error, "checkpoint-1")
    stamp = builder.stamp()
    if state == "completed":
        return complete(builder.job, end, stamp)
    if state == "failed":
        return fail(builder.job, "error", end, stamp)
    return retry_later(builder.job, "error", end, 10 * SECOND, stamp)


class TestProgress:
    async def test_only_the_live_run_tells(self, stores: Stores) -> None:
        builder = a_job().running()
        waiting = a_job()
        await inserted(stores, builder, waiting)
        said = Progress(1, NOW, 0.5, "noop", "half", (StepState("noop", "RUNNING", NOW),), {"loss": 0.1})
        assert await stores.jobs.save_progress(builder.job.id, said)
        assert not await stores.jobs.save_progress(builder.job.id, replace(said, run_no=2))
        assert not await stores.jobs.save_progress(waiting.job.id, said)
        assert await stores.jobs.get(builder.job.id) == replace(builder.job, progress=said)


class TestListing:
    async def test_newest_first_in_pages(self, stores: Stores) -> None:
        builders = [a_job(now=NOW + n // 2 * SECOND) for n in range(7)]
        jobs = await inserted(stores, *builders)
        newest = sorted(jobs, key=lambda j: (j.submitted_at, j.id), reverse=True)
        assert await self.pages(stores, JobQuery(limit=3)) == ids(newest)
        assert await self.pages(stores, JobQuery(limit=3, oldest_first=True)) == ids(newest[::-1])

    async def pages(self, stores: Stores, query: JobQuery) -> list[str]:
        """The ids of all pages, one after the other."""
        page = await stores.jobs.find(query)
        if page.next_after is None:
            return ids(page.jobs)
        return ids(page.jobs) + await self.pages(stores, replace(query, after=page.next_after))

    async def test_a_full_last_page_has_no_next(self, stores: Stores) -> None:
        await inserted(stores, a_job(), a_job())
        assert (await stores.jobs.find(JobQuery(limit=2))).next_after is None

    async def test_a_place_that_is_gone_is_said(self, stores: Stores) -> None:
        with pytest.raises(Invalid, match="list from the start"):
            await stores.jobs.find(JobQuery(after="job_gone"))

    @pytest.mark.parametrize(
        ("query", "wanted"),
        [
            pytest.param(JobQuery(), "abc", id="all"),
            pytest.param(JobQuery(status=frozenset({JobStatus.QUEUED})), "bc", id="status"),
            pytest.param(JobQuery(status=frozenset({JobStatus.QUEUED, JobStatus.RUNNING})), "abc", id="statuses"),
            pytest.param(JobQuery(template="ml_training"), "a", id="template"),
            pytest.param(JobQuery(algorithm="svm"), "a", id="algorithm"),
            pytest.param(JobQuery(tag="night.ly"), "ab", id="tag"),
            pytest.param(JobQuery(priority=Priority.HIGH), "b", id="priority"),
            pytest.param(JobQuery(batch_id="batch_1"), "c", id="batch"),
            pytest.param(JobQuery(workflow_id="workflow_1"), "c", id="workflow"),
            pytest.param(JobQuery(submitted_after=NOW + SECOND), "bc", id="from, inclusive"),
            pytest.param(JobQuery(submitted_before=NOW + 2 * SECOND), "ab", id="until, exclusive"),
            pytest.param(JobQuery(text="svm"), "a", id="text of a parameter"),
            pytest.param(JobQuery(text="RES"), "b", id="text in capitals, a beginning"),
            pytest.param(JobQuery(text="train 50"), "b", id="text: every word, any word of the name"),
            pytest.param(JobQuery(text="train nothing"), "", id="text: one word fails"),
            pytest.param(JobQuery(text="rain"), "", id="text: not in the middle of a word"),
            pytest.param(JobQuery(text="night.ly"), "ab", id="text of a tag"),
            pytest.param(JobQuery(text="night?ly"), "", id="text is no pattern"),
            pytest.param(JobQuery(text=".*\0(["), "", id="hostile text"),
            pytest.param(JobQuery(text="  "), "abc", id="blank text"),
            pytest.param(JobQuery(text="x" * 5_000), "", id="long text"),
            pytest.param(JobQuery(tag="night.ly", priority=Priority.HIGH), "b", id="all at once"),
        ],
    )
    async def test_filters(self, stores: Stores, query: JobQuery, wanted: str) -> None:
        a = a_job("ml_training", name="a", parameters={"algorithm": "svm"}, tags=("night.ly",)).running()
        b = a_job(name="Train ResNet-50", now=NOW + SECOND, tags=("Night.ly", "night.ly")).but(priority=Priority.HIGH)
        c = a_job(name="c", now=NOW + 2 * SECOND).but(batch_id="batch_1", workflow_id="workflow_1")
        named = {b.job.id: letter for b, letter in ((a, "a"), (b, "b"), (c, "c"))}
        await inserted(stores, a, b, c)
        page = await stores.jobs.find(query)
        assert "".join(sorted(named[i] for i in ids(page.jobs))) == wanted
        assert await stores.jobs.count(query) == len(wanted)


class TestSweeps:
    async def test_who_waits_for_a_parent(self, stores: Stores) -> None:
        first = a_job(dependencies=("job_a", "job_b"), eligible=False)
        second = a_job(dependencies=("job_b",), eligible=False, priority=Priority.HIGH)
        cancelled = a_job(dependencies=("job_a",), eligible=False)
        cancelled.job = apply(cancelled.job, cancel_waiting(cancelled.job, cancelled.stamp(), None))
        free = a_job(eligible=False, now=NOW - SECOND)
        held = a_job(dependencies=("job_c",), eligible=False).held()
        await inserted(stores, first, second, cancelled, free, held)
        assert ids(await stores.jobs.waiting_on(["job_c"])) == [held.job.id]
        assert ids(await stores.jobs.waiting_on(["job_a"])) == [first.job.id]
        assert set(ids(await stores.jobs.waiting_on(["job_a", "job_b"]))) == {first.job.id, second.job.id}
        assert await stores.jobs.waiting_on([]) == []
        lent = await stores.jobs.classes_waiting_on(["job_a", "job_b", "job_c", "job_x"])
        assert lent == {"job_a": Priority.NORMAL, "job_b": Priority.HIGH, "job_c": Priority.NORMAL}
        assert await stores.jobs.classes_waiting_on([]) == {}

    async def test_what_is_due(self, stores: Stores) -> None:
        now = NOW + timedelta(minutes=1)
        starts = a_job(start_after=now, eligible=False)
        later = a_job(start_after=now + SECOND, eligible=False)
        retries = a_job().retrying(delay=10)
        rests = a_job().retrying(delay=3_600)
        ends = a_job(queue_deadline=59.0)
        patient = a_job(queue_deadline=61.0)
        running = a_job(queue_deadline=1.0).running()
        held = a_job(queue_deadline=59.0).held()
        frozen, released = a_job(queue_deadline=1.0).frozen(), a_job(queue_deadline=1.0).released()
        await inserted(stores, starts, later, retries, rests, ends, patient, running, held, frozen, released)
        due = {starts.job.id, retries.job.id, ends.job.id, held.job.id}
        assert set(ids(await stores.jobs.due(now, 10))) == due
        assert len(await stores.jobs.due(now, 2)) == 2
        assert await stores.jobs.due(NOW, 10) == []

    async def test_what_keeps_waiting_hides_nothing_that_comes_due(self, stores: Stores) -> None:
        stuck = [a_job(start_after=NOW + n * SECOND, dependencies=("job_a",), eligible=False) for n in range(5)]
        fresh = a_job(start_after=NOW + 9 * SECOND, eligible=False)
        await inserted(stores, *stuck, fresh)
        assert fresh.job.id in ids(await stores.jobs.due(NOW + 10 * SECOND, 3))

    async def test_what_was_dispatched_long_ago(self, stores: Stores) -> None:
        old, new = a_job().scheduled(), a_job(now=NOW + 10 * SECOND).scheduled()
        await inserted(stores, old, new, a_job().running())
        assert ids(await stores.jobs.scheduled_before(NOW + 5 * SECOND, 10)) == [old.job.id]
        assert ids(await stores.jobs.scheduled_before(NOW + 50 * SECOND, 10)) == [old.job.id, new.job.id]
        assert ids(await stores.jobs.scheduled_before(NOW + 50 * SECOND, 1)) == [old.job.id]

    async def test_what_is_on_a_node(self, stores: Stores) -> None:
        here, there, ended = a_job().running("node-1"), a_job().running("node-2"), a_job().completed()
        await inserted(stores, here, there, ended, a_job())
        live = (JobStatus.SCHEDULED, JobStatus.RUNNING)
        assert await stores.jobs.on_node("node-1", live) == [here.job]
        assert await stores.jobs.in_state(live) == {here.job.id: ("node-1", 1), there.job.id: ("node-2", 1)}

    async def test_tickets_of_all_that_is_queued(self, stores: Stores) -> None:
        queued = [a_job(node_selector={"zone": "a", "disk": "ssd"}) for _ in range(5)]
        await inserted(stores, *queued, a_job().running())
        batches = [batch async for batch in stores.jobs.queued_tickets(2)]
        assert [len(batch) for batch in batches] == [2, 2, 1]
        found = {ticket.job_id: ticket for batch in batches for ticket in batch}
        assert found == {b.job.id: ticket_of(b.job) for b in queued}

    @pytest.mark.parametrize(
        "fields",
        [
            {"effective_priority": Priority.HIGH, "order_key": 217e12 + 1 / 32},
            {"pin": 0},
            {"prefer": {"rack": "r1", "disk": "ssd"}},
            {"expected": EXPECTED, "timeout": 1_000.5},
            {"preemptible": True},
            {"infra_losses": 2},
            {"submitted_at": NOW + timedelta(milliseconds=7)},
        ],
        ids="_".join,
    )
    async def test_a_ticket_tells_what_the_job_asks_for(self, stores: Stores, fields: dict[str, Any]) -> None:
        plain, other = a_job(timeout=90), a_job(timeout=90).but(**fields)
        await inserted(stores, plain, other)
        found = {t.job_id: t async for batch in stores.jobs.queued_tickets() for t in batch}
        assert found == {b.job.id: ticket_of(b.job) for b in (plain, other)}
        one, two = (replace(found[b.job.id], job_id="", key=0.0) for b in (plain, other))
        assert one != two


class TestCounts:
    async def test_counts_a_state_and_class(self, stores: Stores) -> None:
        low = {"effective_priority": Priority.LOW}
        await inserted(
            stores, a_job(now=NOW), a_job(now=NOW + SECOND), a_job().but(**low), a_job().running(), a_job().completed()
        )
        counts = {(c.status, c.priority): c for c in await stores.jobs.state_counts()}
        assert {key: c.jobs for key, c in counts.items()} == {
            (JobStatus.QUEUED, Priority.LOW): 1,
            (JobStatus.QUEUED, Priority.NORMAL): 2,
            (JobStatus.RUNNING, Priority.NORMAL): 1,
        }
        queued = counts[JobStatus.QUEUED, Priority.NORMAL]
        assert queued.oldest == NOW
        assert queued.mean_wait_seconds is not None
        expected = (SystemClock().now() - NOW - SECOND / 2).total_seconds()
        assert queued.mean_wait_seconds == pytest.approx(expected, abs=60)

    async def test_mean_waits_of_those_started_since(self, stores: Stores) -> None:
        fast = a_job(now=NOW).running()
        slow = a_job(now=NOW)
        slow.at += 7 * SECOND
        early = a_job(now=NOW - timedelta(hours=2)).running()
        requeued = a_job(now=NOW).running()
        requeued.but(queued_at=requeued.at + SECOND, status=JobStatus.QUEUED)
        await inserted(stores, fast, slow.running(), early, requeued)
        waits = await stores.jobs.mean_waits(NOW - timedelta(hours=1))
        assert waits == {Priority.NORMAL: pytest.approx((2 + 9) / 2)}


class TestLast:
    """What the change feed reads; only MongoDB has one."""

    async def test_last_repeats_the_entry_and_tells_whose_it_is(self, mongo: Database) -> None:
        store = MongoJobStore(mongo)
        builder = a_job(name="n", tags=("t",), eligible=False).but(batch_id="batch_1")
        await store.insert(builder.job)
        for decide in (None, become_eligible):
            if decide is not None:
                assert await store.commit([decide(builder.job, builder.stamp())]) == [True]
            document = await mongo["jobs"].find_one({"_id": builder.job.id})
            assert document is not None
            assert document["last"] == document["history"][-1] | {
                "name": "n",
                "tags": ["t"],
                "batch_id": "batch_1",
                "workflow_id": None,
                "tenant": builder.job.tenant,
                "priority": "normal",
                "effective_priority": "normal",
                "moved_to": None,
            }

    async def test_a_bad_change_raises_alone_and_is_lost_among_others(self, mongo: Database) -> None:

        store = MongoJobStore(mongo)
        bad, good = a_job().running(), a_job().running()
        for builder in (bad, good):
            await store.insert(builder.job)
        wrong = complete(bad.job, RunEnd(result={"n": 2**70}), bad.stamp())
        with pytest.raises(Invalid, match="cannot be stored"):
            await store.commit([wrong])
        right = complete(good.job, RunEnd(result={}), good.stamp())
        assert await store.commit([wrong, right]) == [False, True]

    async def test_a_job_of_the_first_version_is_read_and_queued(self, mongo: Database) -> None:
        store = MongoJobStore(mongo)
        builder = a_job()
        await store.insert(builder.job)
        await mongo["jobs"].update_one({"_id": builder.job.id}, {"$unset": dict.fromkeys(LATER, "")})
        assert await store.get(builder.job.id) == builder.job
        assert [t async for tickets in store.queued_tickets() for t in tickets] == [ticket_of(builder.job)]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("pin", "low"),
            ("prefer", [1]),
            ("prefer", {"rack": 1}),
            ("expected", {}),
            ("expected", {"median": 1, "mean": float("inf"), "cautious": 1, "source": "s", "group": None, "runs": 0}),
            ("expected", {"median": 1, "mean": 1, "cautious": -1, "source": "s", "group": None, "runs": 0}),
            ("timeout", float("nan")),
            ("preemptible", "yes"),
        ],
    )
    async def test_what_no_ticket_can_be_made_of_is_left_out(self, mongo: Database, field: str, value: Any) -> None:
        store = MongoJobStore(mongo)
        good, bad = a_job(), a_job()
        await store.insert(good.job)
        await store.insert(bad.job)
        await mongo["jobs"].update_one({"_id": bad.job.id}, {"$set": {field: value}})
        assert [t.job_id async for tickets in store.queued_tickets() for t in tickets] == [good.job.id]

    async def test_a_document_that_cannot_be_read_stops_nobody(self, mongo: Database) -> None:
        store = MongoJobStore(mongo)
        good, bad = a_job(), a_job()
        for builder in (good, bad):
            await store.insert(builder.job)
        await mongo["jobs"].update_one({"_id": bad.job.id}, {"$unset": {"resources": ""}})
        assert (await store.find(JobQuery())).jobs == (good.job,)
        assert (await store.find(JobQuery(limit=1))).next_after is not None, "the list goes on behind it"
        assert await asyncio.gather(store.get(good.job.id), store.get(bad.job.id)) == [good.job, None]
        assert [[t.job_id for t in tickets] async for tickets in store.queued_tickets()] == [[good.job.id]]

    @pytest.mark.parametrize("job_id", ["job.with.dots", "job$", "", 7, {"n": 1}])
    async def test_a_document_whose_id_is_no_job_id_is_not_taken_for_a_job(self, mongo: Database, job_id: Any) -> None:
        store = MongoJobStore(mongo)
        builder = a_job()
        await store.insert(builder.job)
        document = await mongo["jobs"].find_one({})
        await mongo["jobs"].insert_one({**(document or {}), "_id": job_id})
        assert (await store.find(JobQuery())).jobs == (builder.job,)
        assert [t.job_id async for tickets in store.queued_tickets() for t in tickets] == [builder.job.id]
        assert set(await store.in_state([JobStatus.QUEUED])) == {builder.job.id}

    async def test_an_ended_job_whose_id_is_no_text_is_looked_past(self, mongo: Database) -> None:
        store = MongoJobStore(mongo)
        job = a_job().completed({}).job
        await store.insert(job)
        document = await mongo["jobs"].find_one({})
        await mongo["jobs"].insert_one({**(document or {}), "_id": {"n": 1}})
        assert ids(await store.ended_before(NOW + timedelta(days=1), 1)) == [job.id]

    async def test_a_keyed_job_that_cannot_be_stored_leaves_no_answer(self, mongo: Database) -> None:
        store = MongoJobStore(mongo)
        with pytest.raises(Invalid, match="cannot be stored"):
            await store.insert_with_answer(a_job(metadata={"n": 1}).but(metadata={"n": 2**70}).job, answer("key-1"))
        assert await store.answer_under("key-1") is None
