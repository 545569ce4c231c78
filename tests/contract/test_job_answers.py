"""Keys and the answers given under them, which are stored with a job."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from app.domain.transitions import (
    place,
)
from tests.contract.conftest import JUST_NOW, Stores, answer, ids
from tests.unit.domain.builders import a_job


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
