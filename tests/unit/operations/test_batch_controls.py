"""What people do to a batch as a whole, over memory."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.batches import BatchStatus
from app.domain.errors import InvalidBatchTransition, NotFound
from app.domain.states import JobStatus
from app.operations.batches.controlling import cancel_whole, pause_whole, resume_whole, retry_whole
from app.operations.cancel import cancel
from app.operations.retry import retry
from app.services import Services
from tests.support.memory import ends, running, the_job, tick
from tests.unit.operations.batch_builders import NOOP, ids, now, of, services, submitted

__all__ = ["services"]


class TestControls:
    async def test_cancel_ends_what_is_open_and_keeps_what_has_ended(self, services: Services) -> None:
        made = await submitted(services)
        await ends(services, ids(made)[0])
        live = await running(services, ids(made)[1])
        batch = await cancel_whole(services, made.batch.id, "ann", "wrong data")
        assert (batch.status, batch.wants("cancel")) == (BatchStatus.RUNNING, True)
        assert await of(services, made) == ["COMPLETED", "RUNNING", "CANCELLED"]
        assert (await the_job(services, ids(made)[2])).history[-1].detail == "wrong data"
        assert (await cancel_whole(services, made.batch.id, "ann", None)).seq == batch.seq, "twice is once"
        await ends(services, live.id)
        batch = await now(services, made)
        assert (batch.status, batch.control, batch.history[-1].detail) == (BatchStatus.CANCELLED, None, "wrong data")

    async def test_pause_holds_what_waits_and_resume_lets_it_go_on_at_its_place(self, services: Services) -> None:
        made = await submitted(services, *(NOOP,) * 5, max_parallel=3)
        live = await running(services, ids(made)[0])
        batch = await pause_whole(services, made.batch.id, "ann", "lunch")
        assert (batch.status, batch.control) == (BatchStatus.PAUSED, None)
        assert await of(services, made) == ["RUNNING", *["PAUSED"] * 4]
        await ends(services, live.id)
        assert await of(services, made) == ["COMPLETED", *["PAUSED"] * 4], "nothing follows while it is paused"
        batch = await resume_whole(services, made.batch.id, "ann", None)
        assert (batch.status, batch.control) == (BatchStatus.RUNNING, None)
        assert await of(services, made) == ["COMPLETED", "QUEUED", "QUEUED", "QUEUED", "SUBMITTED"]

    async def test_a_run_that_ends_in_a_paused_batch_and_is_to_be_tried_again_is_held(self, services: Services) -> None:
        made = await submitted(services)
        live = await running(services, ids(made)[0])
        await pause_whole(services, made.batch.id, "ann", "lunch")
        await ends(services, live.id, "RETRYING")
        job = await the_job(services, live.id)
        assert (job.status, job.history[-1].detail, job.history[-1].actor) == ("PAUSED", "lunch", "ann")

    async def test_pause_with_release_has_what_runs_leave_its_node(self, services: Services) -> None:
        made = await submitted(services)
        live = await running(services, ids(made)[0])
        await pause_whole(services, made.batch.id, "ann", None, release=True)
        job = await the_job(services, live.id)
        assert job.control is not None and job.control.action == "release"
        await resume_whole(services, made.batch.id, "ann", None)
        assert (await the_job(services, live.id)).control is None, "it was taken back"

    async def test_retry_has_another_attempt_at_what_failed(self, services: Services) -> None:
        made = await submitted(services, *(NOOP,) * 4, callback_url="https://x.test/")
        for n, how in enumerate(("COMPLETED", "FAILED", "TIMEOUT")):
            await ends(services, ids(made)[n], how)
        await cancel(services, ids(made)[3], "ann", None)
        assert (await now(services, made)).status is BatchStatus.FAILED
        tick(services)
        batch = await retry_whole(services, made.batch.id, "ann", "again")
        assert await of(services, made) == ["COMPLETED", "QUEUED", "QUEUED", "CANCELLED"]
        assert (batch.status, batch.finished_at, batch.control) == (BatchStatus.RUNNING, None, None)
        for n in (1, 2):
            await ends(services, ids(made)[n])
        batch = await now(services, made)
        assert (batch.status, batch.callback and batch.callback.seq) == (BatchStatus.FAILED, 4)

    async def test_retry_takes_with_it_what_a_rule_cut_short_and_keeps_the_width(self, services: Services) -> None:
        made = await submitted(services, *(NOOP,) * 4, fail_fast=True, max_parallel=2)
        await ends(services, ids(made)[0], "FAILED")
        tick(services)
        await retry_whole(services, made.batch.id, "ann", None)
        assert await of(services, made) == ["QUEUED", "QUEUED", "SUBMITTED", "SUBMITTED"]
        for job_id in ids(made):
            await ends(services, job_id)
        assert (await now(services, made)).status is BatchStatus.COMPLETED

    async def test_retry_of_a_cancelled_batch_takes_all_that_was_cancelled(self, services: Services) -> None:
        made = await submitted(services)
        await ends(services, ids(made)[0])
        await cancel_whole(services, made.batch.id, "ann", None)
        tick(services)
        await retry_whole(services, made.batch.id, "ann", None)
        assert await of(services, made) == ["COMPLETED", "QUEUED", "QUEUED"]

    async def test_a_job_that_is_retried_by_itself_opens_its_batch_again(self, services: Services) -> None:
        made = await submitted(services, NOOP, NOOP, callback_url="https://x.test/")
        await ends(services, ids(made)[0])
        await ends(services, ids(made)[1], "FAILED")
        ended = await now(services, made)
        tick(services)
        await retry(services, ids(made)[1], "ann", "once more")
        batch = await now(services, made)
        assert (batch.status, batch.seq, batch.finished_at) == (BatchStatus.RUNNING, ended.seq + 1, None)
        await ends(services, ids(made)[1])
        batch = await now(services, made)
        assert (batch.status, batch.counts.of(JobStatus.COMPLETED)) == (BatchStatus.COMPLETED, 2)
        assert batch.callback is not None and batch.callback.seq == batch.seq, "its new end is told"

    async def test_one_that_comes_back_to_a_paused_batch_is_held(self, services: Services) -> None:
        made = await submitted(services, NOOP, NOOP)
        await ends(services, ids(made)[1], "FAILED")
        await pause_whole(services, made.batch.id, "ann", None)
        await retry(services, ids(made)[1], "ann", None)
        assert await of(services, made) == ["PAUSED", "PAUSED"]

    async def test_jobs_that_are_gone_keep_no_batch_open(self, services: Services) -> None:
        made = await submitted(services, NOOP, NOOP)
        await ends(services, ids(made)[0])
        await ends(services, ids(made)[1], "FAILED")
        await services.jobs.delete_ended([ids(made)[0]], services.clock.now() + timedelta(seconds=1))
        tick(services)
        await retry_whole(services, made.batch.id, "ann", None)
        await ends(services, ids(made)[1])
        batch = await now(services, made)
        assert (batch.status, batch.counts.laid_out, batch.size) == (BatchStatus.COMPLETED, 1, 2)

    async def test_what_is_refused(self, services: Services) -> None:
        made = await submitted(services)
        for control in (resume_whole, retry_whole):
            with pytest.raises(InvalidBatchTransition):
                await control(services, made.batch.id, "ann", None)
        with pytest.raises(NotFound):
            await cancel_whole(services, "batch_none", "ann", None)
