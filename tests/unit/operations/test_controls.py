"""Controls as use-cases over memory: what each decides, and what happens when the world moves meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import InvalidTransition, NotFound, PreconditionFailed
from app.domain.job import Job
from app.domain.ports import node_bell
from app.domain.queueing import ticket_of
from app.domain.records import JobQuery
from app.domain.states import JobStatus
from app.domain.transitions import RunEnd, apply, become_eligible, complete, fail, requeue, start
from app.operations.cancel import cancel
from app.operations.cancel_matching import Cancelled, cancel_matching
from app.operations.change import commit_all
from app.operations.control import outlook
from app.operations.pause import pause
from app.operations.resume import resume
from app.operations.retry import retry
from app.services import Services
from app.storage.memory.jobs import MemoryJobStore
from tests.support.clock import FixedClock
from tests.unit.api.harness import FakeHealth, memory_services
from tests.unit.domain.builders import NOW, a_job
from tests.unit.operations.control_table import CONTROLS, SITUATIONS, outcome, table

DOCS = Path(__file__).parents[3] / "docs"


def test_the_table_of_the_document_is_what_the_code_decides() -> None:
    assert table() in (DOCS / "controls.md").read_text()


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_control_sent_again_changes_nothing_more(situation: str, control: str) -> None:
    """Twice is once, for all but a retry, which says that it is not needed any more."""
    decide, job = CONTROLS[control], SITUATIONS[situation]()
    first = outcome(job, decide)
    if first in {"409", "stays"}:
        return
    change = decide(job)
    assert change is not None
    again = outcome(apply(job, change), decide)
    assert again == ("409" if control == "retry" else "stays")


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_happens_now_is_said_of_every_job(situation: str) -> None:
    assert outlook(SITUATIONS[situation]()).endswith(".")


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (a_job("sleep").released().job, "no checkpoint: a resume starts it over"),
        (a_job("sleep").released("checkpoint-1.tar").job, "goes on from its checkpoint checkpoint-1.tar."),
        (SITUATIONS["RUNNING, release asked"](), "unless the run leaves one now, a resume starts it over"),
        (replace(SITUATIONS["RUNNING, release asked"](), checkpoint="c-1"), "c-1, or from a newer one"),
        (SITUATIONS["PAUSED, held"](), "at its old place"),
        (SITUATIONS["PAUSED, frozen, cancel asked"](), "node-1 is told to end it"),
    ],
)
def test_a_release_says_whether_there_is_a_checkpoint(job: Job, words: str) -> None:
    assert words in outlook(job)


@pytest.fixture
def services() -> Services:
    return memory_services(FixedClock(NOW), FakeHealth())


async def stored(services: Services, *jobs: Job) -> None:
    for job in jobs:
        await services.jobs.insert(job)


async def found(services: Services, job: Job) -> Job:
    again = await services.jobs.get(job.id)
    assert again is not None
    return again


async def test_a_live_run_hears_the_bell_of_its_node(services: Services) -> None:
    job = a_job("sleep").running().job
    await stored(services, job)
    async with services.bells.listen(node_bell("node-1")) as bell:
        after = await pause(services, job.id, "ann", "later")
        assert await bell.wait(0)
    assert (after.status, after.control and after.control.action) == ("RUNNING", "pause")
    assert (after.history[-1].actor, after.history[-1].detail) == ("ann", "later")


async def test_a_pause_that_is_taken_back_leaves_nothing_behind(services: Services) -> None:
    """Its node is told, since it may be carrying it out; and whoever resumes twice is not mistaken about the job."""
    job = a_job("sleep").running().job
    await stored(services, job)
    await pause(services, job.id, "ann", "later")
    async with services.bells.listen(node_bell("node-1")) as bell:
        after = await resume(services, job.id, "ann", None)
        assert await bell.wait(0)
    assert (after.status, after.control, outlook(after)) == ("RUNNING", None, "It runs.")
    assert await resume(services, job.id, "ann", None) == after
    [moved] = await commit_all(services, [(after, requeue(after, "drained", RunEnd(), services.stamp()))])
    assert moved is not None and await resume(services, job.id, "ann", None) == moved, "the same in a later run"


async def test_what_was_asked_before_a_retry_resumes_nothing_after_it(services: Services) -> None:
    job = SITUATIONS["RUNNING, pause taken back"]()
    await stored(services, job)
    await commit_all(services, [(job, fail(job, "error", RunEnd(), services.stamp()))])
    await retry(services, job.id, "ann", None)
    with pytest.raises(InvalidTransition, match="it is not paused"):
        await resume(services, job.id, "ann", None)


async def test_a_job_of_another_version_is_not_touched(services: Services) -> None:
    job = a_job().queued().job
    await stored(services, job)
    for control in (cancel, resume):
        with pytest.raises(PreconditionFailed):
            await control(services, job.id, "ann", None, 7)
    with pytest.raises(PreconditionFailed):
        await pause(services, job.id, "ann", None, expected_seq=7)
    assert await found(services, job) == job


async def test_a_pause_that_loses_to_the_start_is_asked_of_the_run(services: Services) -> None:
    class Racing(MemoryJobStore):
        raced = False

        async def commit(self, changes: Any) -> list[bool]:
            if not self.raced:
                self.raced = True
                await super().commit([start(scheduled, services.stamp())])
            return await super().commit(changes)

    services = replace(services, jobs=Racing(services.clock))
    scheduled = a_job("sleep").scheduled().job
    await stored(services, scheduled)
    after = await pause(services, scheduled.id, "ann", None)
    assert (after.status, after.wants("pause"), after.node_id) == ("RUNNING", True, "node-1")


async def test_a_held_job_leaves_the_queue_and_comes_back_at_its_old_place(services: Services) -> None:
    first, second = a_job(now=NOW).queued().job, a_job(now=NOW + timedelta(seconds=5)).queued().job
    await stored(services, first, second)
    await services.queue.enqueue([ticket_of(first), ticket_of(second)])
    await pause(services, first.id, "ann", None)
    assert await services.queue.missing([first.id, second.id]) == [first.id]
    after = await resume(services, first.id, "ann", None)
    places = await services.queue.locate([first.id, second.id])
    assert (after.status, after.order_key) == ("QUEUED", first.order_key)
    assert (places[first.id].position, places[second.id].position) == (1, 2)


async def test_a_resume_waits_for_what_still_keeps_the_job(services: Services) -> None:
    parent = a_job().running().job
    child = a_job(dependencies=(parent.id,), eligible=False).held().job
    late = a_job(start_after=NOW + timedelta(hours=1), eligible=False).held().job
    await stored(services, parent, child, late)
    for job in (child, late):
        after = await resume(services, job.id, "ann", None)
        assert (after.status, after.history[-1].reason) == ("SUBMITTED", "resume_not_eligible")


async def test_a_parent_that_ends_while_its_child_is_resumed_is_not_missed(services: Services) -> None:
    """Between the look at the parent and the commit: then nobody else moves the child."""

    class Racing(MemoryJobStore):
        raced = False

        async def commit(self, changes: Any) -> list[bool]:
            if not self.raced and changes[0].entry.reason == "resume_not_eligible":
                self.raced = True
                await super().commit([complete(parent, RunEnd(result={}), services.stamp())])
            return await super().commit(changes)

    services = replace(services, jobs=Racing(services.clock))
    parent = a_job().running().job
    child = a_job(dependencies=(parent.id,), eligible=False).held().job
    await stored(services, parent, child)
    assert (await resume(services, child.id, "ann", None)).status == "QUEUED"


async def test_what_has_become_hopeless_is_neither_resumed_nor_retried(services: Services) -> None:
    parent = a_job().failed().job
    held = a_job(dependencies=(parent.id,), eligible=False).held().job
    done = replace(a_job().failed().job, dependencies=(parent.id,))
    await stored(services, parent, held, done)
    for control, job in ((resume, held), (retry, done)):
        with pytest.raises(InvalidTransition, match=f"{parent.id} did not complete; retry that one first") as refusal:
            await control(services, job.id, "ann", None)
        assert "QUEUED" not in refusal.value.allowed
        assert await found(services, job) == job


async def test_a_retry_gives_the_job_new_attempts_and_keeps_its_history(services: Services) -> None:
    job = a_job().failed().job
    await stored(services, job)
    after = await retry(services, job.id, "ann", "the disk is back")
    assert (after.status, after.error, after.finished_at) == ("QUEUED", None, None)
    assert after.history[:-1] == job.history
    assert (after.history[-1].reason, after.history[-1].actor) == ("manual_retry", "ann")
    assert (after.attempts, after.attempts_counted) == (job.attempts, 0)
    assert await services.queue.missing([job.id]) == []


async def test_a_retry_of_a_parent_does_not_revive_its_children(services: Services) -> None:
    parent = a_job().running().job
    child = a_job(dependencies=(parent.id,), eligible=False).job
    await stored(services, parent, child)
    await commit_all(services, [(parent, fail(parent, "error", RunEnd(), services.stamp()))])
    await retry(services, parent.id, "ann", None)
    assert (await found(services, child)).status == "FAILED"
    after = await retry(services, child.id, "ann", None)
    assert after.status == "SUBMITTED", "the parent is open again"


async def test_an_unknown_job_is_not_found_by_any_control(services: Services) -> None:
    for control in (cancel, pause, resume, retry):
        with pytest.raises(NotFound):
            await control(services, "job_unknown", "ann", None)  # type: ignore[operator]


class TestCancelMatching:
    """Cancel by filter."""

    async def test_each_is_cancelled_as_it_would_be_alone(self, services: Services) -> None:
        jobs = {name: replace(make(), tags=("t",)) for name, make in SITUATIONS.items()}
        others = a_job().queued().job
        await stored(services, *jobs.values(), others)
        services.clock.advance(3_600)  # type: ignore[attr-defined]
        dry = await cancel_matching(services, JobQuery(tag="t"), "ann", "enough", dry_run=True)
        assert {name: await found(services, job) for name, job in jobs.items()} == jobs
        done = await cancel_matching(services, JobQuery(tag="t"), "ann", "enough")
        assert done == dry == Cancelled(17, 7, 8, 2, 0)
        assert (await found(services, others)).status == "QUEUED"
        again = await cancel_matching(services, JobQuery(tag="t"), "ann", "enough")
        assert again == Cancelled(10, 0, 0, 10, 0)
        for name, job in jobs.items():
            after = await found(services, job)
            assert after.status == "CANCELLED" or after.wants("cancel") or (job.terminal and after == job), name

    async def test_children_are_cancelled_with_their_parents_not_failed_by_them(self, services: Services) -> None:
        parent = a_job(now=NOW, tags=("t",)).queued().job
        family = [parent]
        for n in range(1, 1_200):
            one = a_job(now=NOW + timedelta(milliseconds=n), dependencies=(family[-1].id,), eligible=False, tags=("t",))
            family.append(one.job)
        await stored(services, *family)
        services.clock.advance(3_600)  # type: ignore[attr-defined]
        assert await cancel_matching(services, JobQuery(tag="t"), "ann", None) == Cancelled(1_200, 1_200)
        assert {(await found(services, job)).status for job in family} == {JobStatus.CANCELLED}

    async def test_jobs_that_come_while_it_works_are_not_touched(self, services: Services) -> None:
        class Growing(MemoryJobStore):
            async def commit(self, changes: Any) -> list[bool]:
                services.clock.advance(1)  # type: ignore[attr-defined]
                late.append(a_job(now=services.clock.now(), tags=("t",)).queued().job)
                await self.insert(late[-1])
                return await super().commit(changes)

        late: list[Job] = []
        services = replace(services, jobs=Growing(services.clock))
        await stored(services, *(a_job(now=NOW, tags=("t",)).queued().job for _ in range(700)))
        services.clock.advance(10)  # type: ignore[attr-defined]
        assert (await cancel_matching(services, JobQuery(tag="t"), "ann", None)).cancelled == 700
        assert [(await found(services, job)).status for job in late] == ["QUEUED", "QUEUED"]

    async def test_what_moves_meanwhile_is_decided_again(self, services: Services) -> None:
        class Racing(MemoryJobStore):
            raced = False

            async def commit(self, changes: Any) -> list[bool]:
                if not self.raced:
                    self.raced = True
                    await super().commit([become_eligible(waiting, services.stamp()), start(placed, services.stamp())])
                    await super().commit([complete(running, RunEnd(result={}), services.stamp())])
                return await super().commit(changes)

        services = replace(services, jobs=Racing(services.clock))
        waiting, placed = a_job(eligible=False).job, a_job().scheduled().job
        running = a_job().running().job
        await stored(services, waiting, placed, running)
        done = await cancel_matching(services, JobQuery(template="noop"), "ann", None)
        assert done == Cancelled(3, cancelled=1, requested=1, failed=1)
        assert (await found(services, placed)).wants("cancel")
