"""What is asked of many jobs: listings, what is due, counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.clock import SystemClock
from app.domain.control_transitions import cancel_waiting
from app.domain.durations import Duration
from app.domain.errors import Invalid
from app.domain.priority import Priority
from app.domain.queueing import ticket_of
from app.domain.records import JobQuery
from app.domain.states import JobStatus
from app.domain.transitions import (
    apply,
)
from tests.contract.conftest import Stores, ids, inserted
from tests.unit.domain.builders import NOW, a_job

EXPECTED = Duration(60.0, 75.25, 120.5, "history", "template", 7)
SECOND = timedelta(seconds=1)


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
            pytest.param(JobQuery(facts=(("algorithm", "SVM"),)), "a", id="a parameter"),
            pytest.param(JobQuery(facts=(("hyperparameters.C", "10"),)), "a", id="a nested number, however written"),
            pytest.param(JobQuery(facts=(("C", "1e1"),)), "a", id="by its own name"),
            pytest.param(JobQuery(facts=(("C", "1"),)), "", id="no beginning of a value"),
            pytest.param(JobQuery(facts=(("C", "10"), ("algorithm", "knn"))), "", id="all parameters"),
            pytest.param(JobQuery(facts=(("preprocessing_steps", "impute"),)), "a", id="one of a list"),
            pytest.param(JobQuery(facts=(("$where", ".*"),)), "", id="hostile parameter"),
            pytest.param(JobQuery(facts=(("token", "Geheim-1"),)), "", id="no secret"),
            pytest.param(JobQuery(text="geheim"), "", id="no text of a secret"),
            pytest.param(JobQuery(text="impute"), "a", id="text in a list"),
            pytest.param(JobQuery(tag="night.ly", priority=Priority.HIGH), "b", id="all at once"),
        ],
    )
    async def test_filters(self, stores: Stores, query: JobQuery, wanted: str) -> None:
        svm = {"algorithm": "svm", "hyperparameters": {"C": 10.0}, "preprocessing_steps": ["impute"]}
        a = a_job("ml_training", name="a", parameters=svm, tags=("night.ly",)).running()
        a.but(parameters={**a.job.parameters, "token": "Geheim-1"}, secrets=("token",))
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

    async def test_since_when_the_oldest_is_queued_by_class(self, stores: Stores) -> None:
        assert await stores.jobs.queued_since() == {}
        low: dict[str, Any] = {"effective_priority": Priority.LOW}
        late = a_job(now=NOW - SECOND, eligible=False)
        await inserted(
            stores, a_job(now=NOW + SECOND), a_job(now=NOW), late.queued().but(queued_at=NOW + 9 * SECOND),
            a_job(now=NOW + 3 * SECOND).but(**low), a_job(now=NOW - SECOND).running(), a_job(eligible=False),
        )  # fmt: skip
        assert await stores.jobs.queued_since() == {Priority.NORMAL: NOW, Priority.LOW: NOW + 3 * SECOND}

    async def test_what_keeps_jobs_from_the_queue(self, stores: Stores) -> None:
        parents, later = ("job_a",), NOW + timedelta(hours=1)
        await inserted(
            stores,
            a_job(eligible=False, dependencies=parents),
            a_job(eligible=False, dependencies=parents, start_after=later),
            a_job(eligible=False, start_after=later),
            a_job(eligible=False).but(limits=("gpu",)),
            a_job(eligible=False, start_after=NOW),
            a_job(),
        )
        assert await stores.jobs.not_eligible(NOW) == {"dependencies": 2, "start_time": 1, "concurrency_limit": 2}
