"""What the keeper of batches does for those that a crash left, over memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.domain.batches import Batch, BatchStatus
from app.domain.job import Job
from app.domain.limits import batch_limit
from app.operations.batches import following, wishes
from app.operations.batches.controlling import cancel_whole, pause_whole, resume_whole, retry_whole
from app.operations.batches.submitting import BatchSubmitted
from app.operations.limits import decide_admission
from app.operations.retry import retry
from app.scheduler.batch_keeper import BatchKeeper
from app.scheduler.limit_keeper import LimitKeeper
from app.services import Services
from tests.support.memory import ends, running, the_job, tick
from tests.unit.operations.batch_builders import NOOP, ids, now, of, services, submitted

__all__ = ["services"]


class TestKeeping:
    """What a process that died has left, and what is found then."""

    @pytest.fixture
    def keeper(self, services: Services) -> BatchKeeper:
        return BatchKeeper(services)

    async def _ends_untold(self, services: Services, made: BatchSubmitted, n: int, how: str) -> None:
        """The change of the job is the last thing that its process did."""
        with pytest.MonkeyPatch.context() as patch:

            async def nothing(*_: Any) -> list[Any]:
                return []

            patch.setattr("app.operations.change.decide_of_batches", nothing)
            patch.setattr("app.operations.change.decide_admission", nothing)
            await ends(services, ids(made)[n], how)

    async def test_an_end_that_nobody_told_settles_it(self, services: Services, keeper: BatchKeeper) -> None:
        made = await submitted(services, NOOP)
        await self._ends_untold(services, made, 0, "COMPLETED")
        assert (await now(services, made)).status is BatchStatus.RUNNING
        await keeper.keep()
        assert (await now(services, made)).status is BatchStatus.COMPLETED

    async def test_a_retry_that_nobody_told_shows_when_it_ends(self, services: Services) -> None:
        made = await submitted(services, NOOP, NOOP)
        await ends(services, ids(made)[0])
        await ends(services, ids(made)[1], "FAILED")
        tick(services)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(following, "reopen_batch", lambda *_: None)
            await retry(services, ids(made)[1], "ann", None)
        assert (await now(services, made)).status is BatchStatus.FAILED
        await ends(services, ids(made)[1])
        assert (await now(services, made)).status is BatchStatus.COMPLETED

    async def test_an_end_is_told_after_another_has_settled_it(self, services: Services, keeper: BatchKeeper) -> None:
        """Two nodes commit the last ends at once, and one has settled the batch when the other comes to it."""
        made = await submitted(services, NOOP, NOOP)
        await ends(services, ids(made)[0])
        decide = following.decide_of_batches

        async def late(told: Services, moved: Any) -> Any:
            await keeper.keep()
            return await decide(told, moved)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("app.operations.change.decide_of_batches", late)
            await ends(services, ids(made)[1])
        batch = await now(services, made)
        assert batch.status is BatchStatus.COMPLETED
        assert [entry.reason for entry in batch.history] == ["submitted", "settled"]

    async def test_one_that_another_lets_in_meanwhile_is_left_to_it(
        self, services: Services, keeper: BatchKeeper
    ) -> None:
        """Between the look at who is next and the look at those jobs."""
        made = await submitted(services, max_parallel=1)
        await self._ends_untold(services, made, 0, "COMPLETED")
        honest = services.batches.next_waiting

        async def late(batch_id: str, most: int) -> Sequence[str]:
            found = await honest(batch_id, most)
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(services.batches, "next_waiting", honest)
                await keeper.keep()
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(services.batches, "next_waiting", late)
            assert await decide_admission(services, [batch_limit(made.batch.id)]) == []
        assert await of(services, made) == ["COMPLETED", "QUEUED", "SUBMITTED"]

    async def test_a_failure_that_nobody_told_stops_it(self, services: Services, keeper: BatchKeeper) -> None:
        made = await submitted(services, fail_fast=True)
        await self._ends_untold(services, made, 1, "FAILED")
        assert await of(services, made) == ["QUEUED", "FAILED", "QUEUED"]
        await keeper.keep()
        assert await of(services, made) == ["CANCELLED", "FAILED", "CANCELLED"]
        assert (await now(services, made)).status is BatchStatus.FAILED

    async def test_a_place_that_nobody_gave_on_is_given_on(self, services: Services, keeper: BatchKeeper) -> None:
        made = await submitted(services, max_parallel=1)
        await self._ends_untold(services, made, 0, "COMPLETED")
        assert await of(services, made) == ["COMPLETED", "SUBMITTED", "SUBMITTED"]
        await keeper.keep()
        assert await of(services, made) == ["COMPLETED", "QUEUED", "SUBMITTED"]

    async def test_a_place_that_was_leaked_is_given_back(self, services: Services, keeper: BatchKeeper) -> None:
        made = await submitted(services, max_parallel=1)
        name = batch_limit(made.batch.id)
        await self._ends_untold(services, made, 0, "COMPLETED")
        assert await services.limits.take(ids(made)[0], {name: 1}, "late")
        await keeper.keep()
        assert await of(services, made) == ["COMPLETED", "SUBMITTED", "SUBMITTED"]
        limits = LimitKeeper(services, grace=0.0)
        await limits.keep()
        await keeper.keep()
        assert await of(services, made) == ["COMPLETED", "QUEUED", "SUBMITTED"]

    @pytest.mark.parametrize("control", ["pause", "resume", "cancel", "retry"])
    async def test_a_wish_that_was_only_written_is_carried_out(
        self, services: Services, keeper: BatchKeeper, control: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = await submitted(services)
        before = {"resume": pause_whole, "retry": cancel_whole}.get(control)
        if before is not None:
            await before(services, made.batch.id, "ann", None)
        tick(services)
        done = {"pause": pause_whole, "resume": resume_whole, "cancel": cancel_whole, "retry": retry_whole}[control]
        start = await of(services, made)

        async def dies(*_: Any) -> bool:
            return False

        with monkeypatch.context() as patch:
            patch.setattr("app.operations.batches.controlling.carry_out_wish", dies)
            await done(services, made.batch.id, "ann", None)
        assert await of(services, made) == start
        await keeper.carry_out()
        assert await of(services, made) == start, "it belongs to the request that wrote it, for a moment"
        tick(services, 10)
        await keeper.carry_out()
        want = {"pause": "PAUSED", "resume": "QUEUED", "cancel": "CANCELLED", "retry": "QUEUED"}[control]
        assert await of(services, made) == [want] * 3
        assert (await now(services, made)).control is None

    async def test_a_wish_goes_on_where_its_time_was_over(
        self, services: Services, keeper: BatchKeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wishes, "PAGE", 2)
        made = await submitted(services, *(NOOP,) * 7)
        monkeypatch.setattr("app.operations.batches.controlling.PATIENCE", 0.0)
        batch = await pause_whole(services, made.batch.id, "ann", None)
        assert batch.wants("hold") and 0 < (await of(services, made)).count("PAUSED") < 7
        tick(services, 10)
        await keeper.carry_out()
        assert await of(services, made) == ["PAUSED"] * 7

    async def test_one_that_is_still_being_ended_lets_nobody_in(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "FIRST_PAGE", 1)
        made = await submitted(services, *(NOOP,) * 4, fail_fast=True, max_parallel=1)
        await ends(services, ids(made)[0], "TIMEOUT")
        assert sorted(await of(services, made)) == ["CANCELLED", "SUBMITTED", "SUBMITTED", "TIMEOUT"]

    async def test_what_a_rule_wants_of_many_is_carried_out_at_once(
        self, services: Services, keeper: BatchKeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "FIRST_PAGE", 2)
        made = await submitted(services, *(NOOP,) * 6, fail_fast=True)
        await ends(services, ids(made)[0], "FAILED")
        assert (await of(services, made)).count("CANCELLED") == 2
        tick(services, 0.001)
        await keeper.carry_out()
        assert await of(services, made) == ["FAILED", *["CANCELLED"] * 5]
        assert (await now(services, made)).status is BatchStatus.FAILED

    async def test_what_slipped_past_a_pause_is_held(self, services: Services, keeper: BatchKeeper) -> None:
        made = await submitted(services)
        live = await running(services, ids(made)[0])
        await pause_whole(services, made.batch.id, "ann", "lunch")
        with pytest.MonkeyPatch.context() as patch:

            async def nothing(*_: Any) -> list[Any]:
                return []

            patch.setattr("app.operations.change.decide_of_batches", nothing)
            await ends(services, live.id, "RETRYING")
        assert await of(services, made) == ["RETRYING", "PAUSED", "PAUSED"]
        await keeper.keep()
        assert await of(services, made) == ["PAUSED", "PAUSED", "PAUSED"]

    async def test_how_far_it_has_come_is_recorded(self, services: Services, keeper: BatchKeeper) -> None:
        made = await submitted(services)
        await ends(services, ids(made)[0])
        assert (await now(services, made)).counts.tell()["queued"] == 3
        await keeper.keep()
        batch = await now(services, made)
        assert (batch.counts.tell()["queued"], batch.counts.tell()["completed"], batch.seq) == (2, 1, 1)

    async def test_one_that_cannot_be_kept_does_not_hinder_the_others(
        self, services: Services, keeper: BatchKeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bad, good = await submitted(services, NOOP), await submitted(services, NOOP)
        for made in (bad, good):
            await self._ends_untold(services, made, 0, "COMPLETED")
        honest = following.settle

        async def settle(services: Services, batch: Batch, *more: Any) -> Batch:
            if batch.id == bad.batch.id:
                raise RuntimeError("spoilt")
            return await honest(services, batch, *more)

        monkeypatch.setattr("app.scheduler.batch_keeper.settle", settle)
        await keeper.keep()
        assert [(await now(services, made)).status.value for made in (bad, good)] == ["RUNNING", "COMPLETED"]


async def test_every_job_of_a_large_batch_is_let_in_once(services: Services) -> None:
    """The whole life of a bounded batch: never more than its width beyond SUBMITTED, each job once."""
    made = await submitted(services, *(NOOP,) * 60, max_parallel=7)
    while (await now(services, made)).status is BatchStatus.RUNNING:
        jobs: list[Job] = [await the_job(services, job_id) for job_id in ids(made)]
        live = [job for job in jobs if job.status == "QUEUED"]
        assert len(live) == min(7, sum(not job.terminal for job in jobs))
        await ends(services, live[-1].id)
    assert await of(services, made) == ["COMPLETED"] * 60
    assert all(job.seq == 4 + (n >= 7) for n, job in enumerate([await the_job(services, i) for i in ids(made)]))
