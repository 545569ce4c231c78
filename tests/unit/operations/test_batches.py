"""Batches as use-cases over memory: what is stored under which names, who is let in, what ends make of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from app.domain.batch_requests import BatchRequest
from app.domain.batches import BatchStatus, Callback, member_id
from app.domain.errors import Invalid, QuotaExceeded
from app.domain.job import DependencyType
from app.domain.priority import Priority
from app.domain.records import JobQuery
from app.domain.specification import JobRequest
from app.domain.templates import Parameter, TemplateDraft
from app.operations.batches.submitting import BatchSubmitted, submit_batch
from app.operations.cancel import cancel
from app.operations.inspect import inspect
from app.operations.once import Answer, IdempotencyKey
from app.operations.pause import pause
from app.operations.sealing import unseal
from app.operations.templates import create_template
from app.scheduler.batch_keeper import BatchKeeper
from app.services import Services
from tests.support.clock import FixedClock
from tests.support.memory import ends, running, the_job
from tests.unit.api.harness import FakeHealth, memory_services
from tests.unit.operations.batch_builders import NOOP, SEQUENTIAL, ids, now, of, services, submitted

__all__ = ["services"]


class TestSubmitting:
    async def test_every_job_is_there_in_its_place_and_queued(self, services: Services) -> None:
        made = await submitted(services, name="three", metadata={"who": "ann"})
        assert ids(made) == [member_id(made.batch.id, n) for n in range(3)]
        jobs = [await the_job(services, job_id) for job_id in ids(made)]
        assert [(j.status, j.batch_id, j.membership and j.membership.index) for j in jobs] == [
            ("QUEUED", made.batch.id, n) for n in range(3)
        ]
        assert [j.order_key for j in jobs] == sorted({j.order_key for j in jobs})
        places = await services.queue.locate(ids(made))
        assert [places[i].position for i in ids(made)] == [1, 2, 3]
        batch = await now(services, made)
        assert (batch.status, batch.size, batch.name, batch.template) == (BatchStatus.RUNNING, 3, "three", "noop")
        assert len({entry.op for job in jobs for entry in job.history}) == 3, "each change has its own identity"

    async def test_names_are_numbered_where_they_repeat_and_stay_where_they_were_given(
        self, services: Services
    ) -> None:
        first = await submitted(services, NOOP, NOOP, JobRequest("noop", name="mine"), JobRequest("noop", name="mine"))
        second = await submitted(services, NOOP)
        assert [job.name for job in (*first.jobs, *second.jobs)] == ["noop", "noop-2", "mine", "mine", "noop-3"]
        assert [b.batch.name for b in (first, second)] == ["noop-x4", "noop-x1"]

    async def test_different_templates_are_said(self, services: Services) -> None:
        made = await submitted(services, NOOP, JobRequest("sleep"))
        assert (made.batch.template, made.batch.name) == (None, "mixed-x2")

    async def test_a_key_makes_one_batch_however_often_it_is_sent(self, services: Services) -> None:
        first = await submitted(services, key="k")

        def render(_: BatchSubmitted) -> bytes:
            raise AssertionError("it was answered before")

        again = await submit_batch(services, BatchRequest((NOOP,)), "ann", render, IdempotencyKey("k", "digest"))
        assert again == Answer(201, first.batch.id.encode(), replayed=True)
        with pytest.raises(Invalid) as refusal:
            await submit_batch(services, BatchRequest((NOOP,)), "ann", render, IdempotencyKey("k", "other"))
        assert refusal.value.code == "idempotency_key_reused"

    @pytest.mark.parametrize(
        ("bad", "path", "code"),
        [
            (JobRequest("noop", parameters={"x": 1}), "jobs[2].parameters.x", "invalid"),
            (JobRequest("nop"), "jobs[2].template", "unknown_template"),
            (JobRequest("noop", dependencies=("job_none",)), "jobs[2].dependencies[0]", "unknown_job"),
            (JobRequest("noop", resources={"cpu_cores": -1}), "jobs[2].resources.cpu_cores", "invalid"),
            (JobRequest("noop", limits=("mian",)), "jobs[2].limits[0]", "invalid"),
        ],
    )
    async def test_one_bad_job_refuses_all_and_stores_nothing(
        self, services: Services, bad: JobRequest, path: str, code: str
    ) -> None:
        with pytest.raises(Invalid) as refusal:
            await submitted(services, NOOP, NOOP, bad, NOOP)
        assert [(e.path, refusal.value.code) for e in refusal.value.errors] == [(path, code)]
        assert (await services.jobs.find(JobQuery())).jobs == ()
        assert await services.batches.open(10) == []
        assert await services.names.claim("noop") == 1, "no number was used up"

    async def test_a_parent_that_has_failed_refuses_it_unless_the_type_takes_it(self, services: Services) -> None:
        parent = (await submitted(services, NOOP)).jobs[0].id
        await ends(services, parent, "FAILED")
        with pytest.raises(Invalid) as refusal:
            await submitted(services, NOOP, JobRequest("noop", dependencies=(parent,)))
        assert (refusal.value.errors[0].path, refusal.value.code) == ("jobs[1].dependencies[0]", "dependency_failed")
        taken = JobRequest("noop", dependencies=(parent,), dependency_type=DependencyType.ANY_FAILED)
        assert await of(services, await submitted(services, taken)) == ["QUEUED"]

    @pytest.mark.parametrize(
        ("fields", "path"),
        [
            ({"jobs": ()}, "jobs"),
            ({"jobs": (NOOP,) * 10_001}, "jobs"),
            ({"max_parallel": 0}, "max_parallel"),
            ({"max_parallel": 10_001}, "max_parallel"),
            ({"max_parallel": 2, "mode": SEQUENTIAL}, "max_parallel"),
            ({"name": " "}, "name"),
            ({"metadata": {"$set": 1}}, "metadata.$set"),
            ({"callback_url": "ftp://x.test/"}, "callback_url"),
            ({"callback_url": "https://ann:secret@x.test/"}, "callback_url"),
            ({"callback_url": "https:///path"}, "callback_url"),
            ({"callback_url": "https://x.test:0/"}, "callback_url"),
            ({"callback_url": "https://x.test:99999/"}, "callback_url"),
            ({"callback_url": "https://x.test/\n"}, "callback_url"),
            ({"callback_url": "https://x.test/" + "a" * 2_000}, "callback_url"),
        ],
    )
    async def test_what_is_wrong_with_the_whole_is_refused(
        self, services: Services, fields: dict[str, Any], path: str
    ) -> None:
        with pytest.raises(Invalid) as refusal:
            await submit_batch(services, BatchRequest(**{"jobs": (NOOP,), **fields}), "ann", lambda _: b"")
        assert [e.path for e in refusal.value.errors] == [path]

    async def test_a_hundred_faults_are_told_and_no_more_looked_for(self, services: Services) -> None:
        with pytest.raises(Invalid) as refusal:
            await submitted(services, *(JobRequest("noop", parameters={"x": 1}) for _ in range(500)))
        assert [e.path for e in refusal.value.errors] == [f"jobs[{n}].parameters.x" for n in range(100)]

    async def test_a_quota_holds_for_all_of_them_together(self) -> None:
        services = memory_services(FixedClock(), FakeHealth(), TENANT_QUOTAS='{"default": {"waiting": 4}}')
        await submitted(services)
        with pytest.raises(QuotaExceeded):
            await submitted(services, NOOP, NOOP)
        await submitted(services, NOOP)

    async def test_parents_are_considered_in_the_class_of_a_job_of_the_batch(self, services: Services) -> None:
        parent = (await submitted(services, JobRequest("noop", priority=Priority.LOW))).jobs[0].id
        await submitted(services, NOOP, JobRequest("noop", priority=Priority.URGENT, dependencies=(parent,)))
        assert (await the_job(services, parent)).effective_priority is Priority.URGENT

    async def test_jobs_with_a_named_limit_are_let_in_as_there_is_room(self, services: Services) -> None:
        made = await submitted(services, *(JobRequest("noop", limits=("main",)),) * 3, NOOP)
        assert await of(services, made) == ["QUEUED", "SUBMITTED", "SUBMITTED", "QUEUED"]


class TestWidth:
    async def test_no_more_than_max_parallel_are_let_in_and_the_next_when_one_ends(self, services: Services) -> None:
        made = await submitted(services, *(NOOP,) * 5, max_parallel=2)
        assert await of(services, made) == ["QUEUED", "QUEUED", "SUBMITTED", "SUBMITTED", "SUBMITTED"]
        await ends(services, ids(made)[0])
        assert await of(services, made) == ["COMPLETED", "QUEUED", "QUEUED", "SUBMITTED", "SUBMITTED"]
        await ends(services, ids(made)[2], "RETRYING")
        assert await of(services, made) == ["COMPLETED", "QUEUED", "RETRYING", "SUBMITTED", "SUBMITTED"]
        await cancel(services, ids(made)[1], "ann", None)
        assert await of(services, made) == ["COMPLETED", "CANCELLED", "RETRYING", "QUEUED", "SUBMITTED"]

    async def test_who_waits_says_which_batch_and_who_holds_it(self, services: Services) -> None:
        made = await submitted(services, max_parallel=1)
        [view] = await inspect(services, [await the_job(services, ids(made)[2])])
        [reason] = view.reasons
        assert (reason.code, reason.facts["batch"], reason.facts["holders"]) == (
            "concurrency_limit", made.batch.id, ids(made)[0],
        )  # fmt: skip
        assert made.batch.id in reason.summary and ids(made)[0] in reason.summary

    async def test_the_more_urgent_are_let_in_first(self, services: Services) -> None:
        urgent = JobRequest("noop", priority=Priority.URGENT)
        made = await submitted(services, NOOP, NOOP, urgent, urgent, max_parallel=1)
        assert await of(services, made) == ["SUBMITTED", "SUBMITTED", "QUEUED", "SUBMITTED"]
        await ends(services, ids(made)[2])
        assert await of(services, made) == ["SUBMITTED", "SUBMITTED", "COMPLETED", "QUEUED"]

    async def test_those_that_wait_for_other_things_keep_nobody_out(self, services: Services) -> None:
        later = services.clock.now() + timedelta(hours=1)
        blocked = [JobRequest("noop", start_after=later)] * 30
        made = await submitted(services, *blocked, NOOP, NOOP, max_parallel=1)
        assert (await of(services, made))[30:] == ["QUEUED", "SUBMITTED"]
        await ends(services, ids(made)[30])
        assert (await of(services, made))[30:] == ["COMPLETED", "QUEUED"]

    async def test_a_job_with_a_named_limit_too_needs_both_places(self, services: Services) -> None:
        both = JobRequest("noop", limits=("main",))
        made = await submitted(services, both, NOOP, NOOP, max_parallel=1)
        assert await of(services, made) == ["SUBMITTED", "QUEUED", "SUBMITTED"]
        other = await submitted(services, both)
        assert await of(services, other) == ["QUEUED"], "the batch is full, so that the named limit is free"
        await ends(services, ids(made)[1])
        assert await of(services, made) == ["SUBMITTED", "COMPLETED", "QUEUED"], "the named limit is full"
        await ends(services, ids(other)[0])
        await ends(services, ids(made)[2])
        assert await of(services, made) == ["QUEUED", "COMPLETED", "COMPLETED"]


class TestSequence:
    async def test_each_follows_when_the_one_before_has_ended_however_it_did(self, services: Services) -> None:
        made = await submitted(services, *(NOOP,) * 4, mode=SEQUENTIAL)
        assert await of(services, made) == ["QUEUED", "SUBMITTED", "SUBMITTED", "SUBMITTED"]
        await ends(services, ids(made)[0], "FAILED")
        assert await of(services, made) == ["FAILED", "QUEUED", "SUBMITTED", "SUBMITTED"]
        await ends(services, ids(made)[1], "RETRYING")
        assert await of(services, made) == ["FAILED", "RETRYING", "SUBMITTED", "SUBMITTED"]
        await cancel(services, ids(made)[1], "ann", None)
        assert await of(services, made) == ["FAILED", "CANCELLED", "QUEUED", "SUBMITTED"]
        await ends(services, ids(made)[2], "TIMEOUT")
        assert await of(services, made) == ["FAILED", "CANCELLED", "TIMEOUT", "QUEUED"]

    async def test_nobody_overtakes_a_job_that_waits_for_something_else(self, services: Services) -> None:
        parent = (await submitted(services, NOOP)).jobs[0].id
        urgent = JobRequest("noop", priority=Priority.URGENT)
        made = await submitted(services, JobRequest("noop", dependencies=(parent,)), urgent, mode=SEQUENTIAL)
        assert await of(services, made) == ["SUBMITTED", "SUBMITTED"]
        [view] = await inspect(services, [await the_job(services, ids(made)[1])])
        assert (view.reasons[0].code, view.reasons[0].facts["holders"]) == ("concurrency_limit", ids(made)[0])
        await ends(services, parent)
        assert await of(services, made) == ["QUEUED", "SUBMITTED"]

    async def test_a_held_first_one_holds_all(self, services: Services) -> None:
        made = await submitted(services, mode=SEQUENTIAL)
        await pause(services, ids(made)[0], "ann", None)
        await BatchKeeper(services).keep()
        assert await of(services, made) == ["PAUSED", "SUBMITTED", "SUBMITTED"]


class TestEnds:
    @pytest.mark.parametrize(
        ("ended", "want"),
        [
            (("COMPLETED",) * 3, "COMPLETED"),
            (("COMPLETED", "FAILED", "COMPLETED"), "FAILED"),
            (("TIMEOUT", "COMPLETED", "COMPLETED"), "FAILED"),
        ],
    )
    async def test_the_last_end_settles_it(self, services: Services, ended: Sequence[str], want: str) -> None:
        made = await submitted(services, callback_url="https://x.test/done")
        for n, how in enumerate(ended):
            assert (await now(services, made)).status is BatchStatus.RUNNING
            await ends(services, ids(made)[n], how)
        batch = await now(services, made)
        assert (batch.status, batch.counts.laid_out, batch.finished_at) == (want, 3, services.clock.now())
        assert batch.callback == Callback("https://x.test/done", seq=2, due=batch.finished_at)

    async def test_fail_fast_cancels_the_rest(self, services: Services) -> None:
        made = await submitted(services, *(NOOP,) * 4, fail_fast=True, max_parallel=3)
        live = await running(services, ids(made)[1])
        await ends(services, ids(made)[0], "FAILED")
        assert await of(services, made) == ["FAILED", "RUNNING", "CANCELLED", "CANCELLED"]
        job = await the_job(services, live.id)
        assert job.control is not None and job.control.action == "cancel"
        why = (await the_job(services, ids(made)[3])).history[-1]
        assert (why.actor, why.detail) == ("system", f"fail_fast: {ids(made)[0]} ended FAILED")
        await ends(services, live.id)
        batch = await now(services, made)
        assert (batch.status, [e.reason for e in batch.history]) == (
            BatchStatus.FAILED, ["submitted", "stopped", "settled"],
        )  # fmt: skip

    async def test_without_it_a_failure_stops_nothing(self, services: Services) -> None:
        made = await submitted(services)
        await ends(services, ids(made)[0], "FAILED")
        assert await of(services, made) == ["FAILED", "QUEUED", "QUEUED"]

    async def test_a_cancelled_job_is_no_failure_to_fail_fast(self, services: Services) -> None:
        made = await submitted(services, fail_fast=True)
        await cancel(services, ids(made)[0], "ann", None)
        assert await of(services, made) == ["CANCELLED", "QUEUED", "QUEUED"]

    async def test_a_stopped_batch_lets_nobody_in(self, services: Services) -> None:
        made = await submitted(services, *(NOOP,) * 3, fail_fast=True, max_parallel=1)
        await ends(services, ids(made)[0], "TIMEOUT")
        assert await of(services, made) == ["TIMEOUT", "CANCELLED", "CANCELLED"]
        assert (await now(services, made)).status is BatchStatus.FAILED
        assert await services.limits.held() == {}


class TestNames:
    async def test_siblings_are_named_by_what_tells_them_apart(self, services: Services) -> None:
        trials = [JobRequest("hyperparameter_tuning", {"algorithm": "svm", "C": c}) for c in (1.0, 10.0)]
        first = await submitted(services, *trials)
        again = await submitted(services, *trials)
        names = [job.name for job in (*first.jobs, *again.jobs)]
        assert names == ["iris-svm-c1", "iris-svm-c10", "iris-svm-c1-2", "iris-svm-c10-2"]

    async def test_a_batch_keeps_its_secrets_apart(self, services: Services) -> None:
        secret = TemplateDraft(
            id="guarded", base_template="command", parameters=(Parameter("token", "secret"),), description="x"
        )
        await create_template(services, secret)
        jobs = [JobRequest("guarded", {"command": ["true"], "token": f"s3cr3t-{n}"}) for n in range(3)]
        made = await submitted(services, *jobs)
        for n, job in enumerate(made.jobs):
            assert "s3cr3t" not in str(job)
            assert await unseal(services, job) == {"token": f"s3cr3t-{n}"}
