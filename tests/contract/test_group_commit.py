"""Group commit over real drivers: lost answers, races, bad writes; and what happens without the guard."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest

from app.domain.control_transitions import request_control
from app.domain.errors import Invalid, Unavailable
from app.domain.job import Job
from app.domain.transitions import Change, RunEnd, Stamp, apply, become_eligible, complete, place, start
from app.storage.documents import job_document, job_from
from app.storage.group_commit import GroupCommit, GroupedInserts
from app.storage.mongo import Collection, Database, Document
from app.storage.subjects import Subjects
from tests.support.drivers import AFTER, ANSWERED, BEFORE, UNCONFIRMED, LosingCollection
from tests.support.wait import until
from tests.unit.domain.builders import JobBuilder, a_job

FATES = [
    pytest.param([BEFORE], id="lost before"),
    pytest.param([AFTER], id="lost after"),
    pytest.param([UNCONFIRMED], id="majority late"),
    pytest.param([AFTER, BEFORE, AFTER, AFTER], id="lost four times"),
]


def commit_over(collection: Any, patience: float = 10) -> GroupCommit:
    return GroupCommit(collection, Subjects(collection).of, patience)


async def stored(mongo: Database, *builders: JobBuilder) -> None:
    await mongo["jobs"].insert_many([job_document(b.job) for b in builders])


async def read(mongo: Database, job: Job) -> Job:
    document = await mongo["jobs"].find_one({"_id": job.id})
    assert document is not None
    return job_from(document)


def gapless(job: Job) -> bool:
    """Every entry follows from the one before it."""
    entries = job.history
    chained = all(a.to == b.source for a, b in pairwise(entries))
    return [e.seq for e in entries] == list(range(1, job.seq + 1)) and chained and entries[-1].to == job.status


@pytest.mark.parametrize("fates", FATES)
async def test_a_lost_answer_gives_exactly_one_history_entry(mongo: Database, fates: list[str]) -> None:
    jobs = [a_job(eligible=False) for _ in range(20)]
    await stored(mongo, *jobs)
    losing = LosingCollection(mongo["jobs"], fates)
    changes = [become_eligible(b.job, b.stamp()) for b in jobs]
    assert await commit_over(losing).commit(changes) == [True] * 20
    assert len(losing.sent) == len(fates) + 1
    assert all(sent is losing.sent[0] for sent in losing.sent), "what is sent again is the same batch"
    for builder in jobs:
        job = await read(mongo, builder.job)
        assert (job.status, job.seq, len(job.history)) == ("QUEUED", 2, 2)


@pytest.mark.parametrize("fates", FATES)
async def test_a_lost_answer_does_not_make_losers_win(mongo: Database, fates: list[str]) -> None:
    winner, loser = a_job(eligible=False), a_job(eligible=False)
    await stored(mongo, winner, loser)
    rival = become_eligible(loser.job, loser.stamp())
    assert await commit_over(mongo["jobs"]).commit([rival]) == [True]
    losing = LosingCollection(mongo["jobs"], fates)
    changes = [become_eligible(b.job, b.stamp()) for b in (winner, loser)]
    assert await commit_over(losing).commit(changes) == [True, False]
    assert [e.op for e in (await read(mongo, loser.job)).history[1:]] == [rival.entry.op]


@pytest.mark.parametrize("fates", FATES)
async def test_a_lost_answer_inserts_once(mongo: Database, fates: list[str]) -> None:
    losing = LosingCollection(mongo["jobs"], fates)
    documents = [job_document(a_job().job) for _ in range(10)]
    await GroupedInserts(cast("Collection", losing)).insert(documents)
    assert await mongo["jobs"].count_documents({}) == 10


async def test_an_outage_longer_than_patience_is_unavailable(mongo: Database) -> None:
    builder = a_job(eligible=False)
    await stored(mongo, builder)
    losing = LosingCollection(mongo["jobs"], [BEFORE] * 1_000)
    with pytest.raises(Unavailable, match="MongoDB"):
        await commit_over(losing, patience=0.3).commit([become_eligible(builder.job, builder.stamp())])
    assert len(losing.sent) > 1
    assert (await read(mongo, builder.job)).seq == 1


async def test_what_arrives_during_a_flush_goes_with_the_next(mongo: Database) -> None:
    jobs = [a_job(eligible=False) for _ in range(100)]
    await stored(mongo, *jobs)
    counting = LosingCollection(mongo["jobs"], [])
    commit = commit_over(counting)
    first = asyncio.create_task(commit.commit([become_eligible(jobs[0].job, jobs[0].stamp())]))
    await until(lambda: counting.sent)
    rest = [commit.commit([become_eligible(b.job, b.stamp())]) for b in jobs[1:]]
    assert await asyncio.gather(first, *rest) == [[True]] * 100
    assert [len(sent) for sent in counting.sent] == [1, 99]


async def test_two_changes_of_one_job_go_one_after_the_other(mongo: Database) -> None:
    builder = a_job(eligible=False)
    await stored(mongo, builder)
    first = become_eligible(builder.job, builder.stamp())
    queued = apply(builder.job, first)
    second = place(queued, "node-1", (), builder.stamp())
    third = start(apply(queued, second), builder.stamp())
    assert [c.seq for c in (first, second, third)] == [1, 2, 3]
    counting = LosingCollection(mongo["jobs"], [])
    assert await commit_over(counting).commit([first, second, third]) == [True, True, True]
    job = await read(mongo, builder.job)
    assert (job.status, [len(sent) for sent in counting.sent]) == ("RUNNING", [1, 1, 1])


class ByStatus(GroupCommit):
    """The negative control: a filter on the status alone, as many services do it."""

    def _guard(self, change: Change) -> Document:
        assert change.entry.source is not None
        return {"_id": change.job_id, "status": change.entry.source.value}


class TestRaces:
    """Fifty who change one job at once, each on what it has read, as fifty processes would."""

    WRITERS, ROUNDS = 50, 4

    async def test_every_seq_has_one_winner(self, mongo: Database) -> None:
        job, won = await self.race(mongo, GroupCommit)
        assert sorted(won) == list(range(4, 4 + self.ROUNDS)), "each round was won once"
        assert job.seq == 3 + self.ROUNDS
        assert gapless(job)

    async def test_without_the_guard_history_has_gaps(self, mongo: Database) -> None:
        job, won = await self.race(mongo, ByStatus)
        assert len(won) > len(set(won)), "some seq was won more than once"
        assert not gapless(job)

    async def race(self, mongo: Database, kind: type[GroupCommit]) -> tuple[Job, list[int]]:
        """The job afterwards, and each seq that somebody was told to have won."""
        builder = a_job().running()
        await stored(mongo, builder)
        writers = [kind(mongo["jobs"], Subjects(mongo["jobs"]).of) for _ in range(self.WRITERS)]
        won: list[int] = []
        for number in range(self.ROUNDS):
            loaded = await asyncio.gather(*(read(mongo, builder.job) for _ in writers))
            stamps = [Stamp(builder.at, "system", f"op-{number}-{n}") for n in range(self.WRITERS)]
            changes = [request_control(job, "cancel", stamp, None) for job, stamp in zip(loaded, stamps, strict=True)]
            verdicts = await asyncio.gather(*(w.commit([c]) for w, c in zip(writers, changes, strict=True)))
            won += [c.entry.seq for c, verdict in zip(changes, verdicts, strict=True) if verdict == [True]]
        return await read(mongo, builder.job), won


async def test_fifty_in_one_process_with_lost_answers_keep_history_gapless(mongo: Database) -> None:
    """They share flushes; of the first ones a third are lost on the way there, a third on the way back."""
    builder = a_job().running()
    await stored(mongo, builder)
    chance = random.Random(7)
    losing = LosingCollection(mongo["jobs"], (chance.choice([BEFORE, AFTER, ANSWERED]) for _ in range(30)))
    commit = commit_over(losing, patience=60)
    won: list[int] = []

    async def change_twice(writer: int) -> None:
        for number in range(2):
            job = await read(mongo, builder.job)
            change = request_control(job, "cancel", Stamp(builder.at, "system", f"op-{writer}-{number}"), None)
            if await commit.commit([change]) == [True]:
                won.append(change.entry.seq)

    await asyncio.gather(*(change_twice(n) for n in range(50)))
    job = await read(mongo, builder.job)
    assert gapless(job)
    assert sorted(won) == list(range(4, job.seq + 1)), "whoever was told to have won is in the history, nobody else"


class TestBadWrites:
    """One that cannot be stored fails alone."""

    @pytest.mark.parametrize(
        ("result", "why"),
        [
            pytest.param({"value": 2**70}, "8-byte ints", id="integer"),
            pytest.param({"value": object()}, "cannot encode object", id="not encodable"),
            pytest.param({"value": "\ud800"}, "surrogates", id="not UTF-8"),
            pytest.param({"value": "x" * (17 << 20)}, "BSONObj size", id="too large"),
        ],
    )
    async def test_a_bad_change(self, mongo: Database, result: dict[str, Any], why: str) -> None:
        jobs = [a_job().running() for _ in range(9)]
        await stored(mongo, *jobs)
        changes = [complete(b.job, RunEnd(result={"metrics": {}, "steps": {}}), b.stamp()) for b in jobs]
        changes[4] = complete(jobs[4].job, RunEnd(result=result), jobs[4].stamp())
        verdicts = await commit_over(mongo["jobs"]).commit(changes)
        refused = verdicts.pop(4)
        assert isinstance(refused, Invalid)
        assert why in refused.message
        assert verdicts == [True] * 8
        assert (await read(mongo, jobs[4].job)).seq == 3

    async def test_a_document_that_grows_too_large(self, mongo: Database) -> None:
        """Each write is small enough to be sent, and refused by the server for what it would make."""
        jobs = [a_job().running() for _ in range(3)]
        documents = [job_document(b.job) for b in jobs]
        documents[1]["metadata"] = {"text": "x" * (9 << 20)}
        await mongo["jobs"].insert_many(documents)
        ends = [RunEnd(result={"text": "y" * size}) for size in (1, 9 << 20, 1)]
        changes = [complete(b.job, end, b.stamp()) for b, end in zip(jobs, ends, strict=True)]
        won, refused, also_won = await commit_over(mongo["jobs"]).commit(changes)
        assert (won, also_won) == (True, True)
        assert isinstance(refused, Invalid)

    async def test_a_bad_insert(self, mongo: Database) -> None:
        documents = [job_document(a_job().job) for _ in range(5)]
        documents[2]["metadata"] = {"value": 2**70}
        inserts = GroupedInserts(mongo["jobs"])
        results = await asyncio.gather(*(inserts.insert([d]) for d in documents), return_exceptions=True)
        assert [type(r) if isinstance(r, Invalid) else r for r in results] == [[True], [True], Invalid, [True], [True]]
        assert await mongo["jobs"].count_documents({}) == 4


async def test_a_change_of_a_job_that_is_gone_loses(mongo: Database) -> None:
    builder = a_job(eligible=False)
    assert await commit_over(mongo["jobs"]).commit([become_eligible(builder.job, builder.stamp())]) == [False]


async def test_last_tells_whose_change_it_was_without_being_told(mongo: Database) -> None:
    """The subject is read where it is not remembered, and never taken from another version of the job."""
    builder = a_job(eligible=False, tags=("vision",))
    await stored(mongo, builder)
    subjects = Subjects(mongo["jobs"])
    subjects.remember(job_document(replace(builder.job, seq=7, name="another-version")))
    commit = GroupCommit(mongo["jobs"], subjects.of)
    change = become_eligible(builder.job, builder.stamp())
    assert await commit.commit([change]) == [True]
    document = await mongo["jobs"].find_one({"_id": builder.job.id})
    assert document is not None
    assert document["last"]["name"] == builder.job.name
    assert document["last"]["tags"] == ["vision"]
    assert {k: document["last"][k] for k in document["history"][-1]} == document["history"][-1]
