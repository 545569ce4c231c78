"""One job: that it is stored as it is, changed once, and its progress; over both drivers and in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.control_transitions import cancel_waiting, request_control
from app.domain.durations import Duration
from app.domain.errors import Invalid
from app.domain.job import Control, Job, JobError, Progress, StepState
from app.domain.queueing import ticket_of
from app.domain.records import JobQuery
from app.domain.resources import Vector
from app.domain.sizing.evidence import Alternative, Sizing
from app.domain.sizing.features import TableFacts, features_of
from app.domain.sizing.measures import Outcome
from app.domain.sizing.priors import prior_of
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
from app.storage.documents import job_document
from app.storage.jobs import MongoJobStore
from app.storage.mongo import Database
from tests.contract.conftest import Stores, answer, ids, inserted
from tests.unit.domain.builders import NOW, JobBuilder, a_job

SECOND = timedelta(seconds=1)


EVERYTHING = a_job(
    "ml_training",
    parameters={"dataset_name": "iris", "hyperparameters": {"n_estimators": 100, "max_features": None}},
    tags=("vision", "nightly"),
    metadata={"owner": "team", "n": 2**62, "deep": [1, {"x": None}]},
).running()


EXPECTED = Duration(60.0, 75.25, 120.5, "history", "template", 7)


FEATURES = features_of({"algorithm": "random_forest"}, TableFacts(None, 4))
SIZING = Sizing(
    source="history",
    resources=Vector(2_000, 1_024, 0, 10),
    suggestion=Vector(1_000, 512, 0, 10),
    group="template, algorithm",
    runs=7,
    last_run_at=NOW,
    prior=prior_of(FEATURES),
    features=FEATURES,
    quantile=0.95,
    margin=1.125,
    alternatives=(Alternative(Vector(2_000, 896, 0, 10), 0.25),),
    outcome=Outcome(7, 0.0, None),
)
LATER = ("pin", "prefer", "expected", "preempted", "sizing")
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
            sizing=SIZING,
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
                "step_id": None,
                "step_item": None,
                "tenant": builder.job.tenant,
                "template": "noop",
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

    async def test_a_sizing_of_wrong_parts_is_not_read(self, mongo: Database) -> None:
        store = MongoJobStore(mongo)
        builder = a_job().but(sizing=SIZING)
        await store.insert(builder.job)
        for wrong in (
            {"sizing": "auto"},
            {"sizing.resources": {}},
            {"sizing.resources.memory_mib": "1"},
            {"sizing.features": {"x": 1}},
        ):
            await mongo["jobs"].update_one({"_id": builder.job.id}, {"$set": wrong})
            assert await store.get(builder.job.id) is None
            await mongo["jobs"].replace_one({"_id": builder.job.id}, job_document(builder.job))
        assert await store.get(builder.job.id) == builder.job

    async def test_a_run_from_before_what_it_asked_was_kept_is_read(self, mongo: Database) -> None:
        store = MongoJobStore(mongo)
        builder = a_job().completed()
        await store.insert(builder.job)
        await mongo["jobs"].update_one({"_id": builder.job.id}, {"$unset": {"attempts.0.asked": ""}})
        found = await store.get(builder.job.id)
        assert found is not None and found.attempts == (replace(builder.job.attempts[0], asked=None),)

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
