"""Stored answers: the first under a key stays, bytes and all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from pymongo.errors import DuplicateKeyError

from app.domain.records import StoredAnswer
from app.storage.answers import answer_document, insert_once
from tests.contract.stores.conftest import SmallStores
from tests.support.clock import NOON

ANSWER = StoredAnswer("POST /jobs:k1", "digest", 201, b'{"job_id": "job_1", "name": "\xc3\xa4"}', NOON)


async def test_an_answer_comes_back_byte_for_byte(small: SmallStores) -> None:
    assert await small.answers.get(ANSWER.key) is None
    assert await small.answers.put(ANSWER) is None
    assert await small.answers.get(ANSWER.key) == ANSWER


async def test_a_taken_key_answers_the_earlier_one(small: SmallStores) -> None:
    await small.answers.put(ANSWER)
    assert await small.answers.put(replace(ANSWER, body_digest="other")) == ANSWER
    assert await small.answers.get(ANSWER.key) == ANSWER


async def test_the_same_put_sent_again_is_no_conflict(small: SmallStores) -> None:
    await small.answers.put(ANSWER)
    assert await small.answers.put(ANSWER) is None


async def test_of_many_at_once_one_wins_and_all_see_it(small: SmallStores) -> None:
    answers = [replace(ANSWER, body_digest=str(n)) for n in range(20)]
    earlier = await asyncio.gather(*(small.answers.put(answer) for answer in answers))
    kept = await small.answers.get(ANSWER.key)
    assert earlier.count(None) == 1
    assert {e for e in earlier if e is not None} == {kept}


class NotReadableYet:
    """A collection whose newest answers the majority has not confirmed: the first looks do not see them."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    async def find_one(self, _: dict[str, Any]) -> dict[str, Any] | None:
        self.looks -= 1
        return None if self.looks >= 0 else answer_document(ANSWER)


async def taken() -> None:
    raise DuplicateKeyError("the key")


async def test_a_key_that_is_taken_is_never_called_free_because_its_answer_cannot_be_read_yet() -> None:
    other = replace(ANSWER, answer=b"other")
    assert await insert_once(taken, NotReadableYet(3), other, 1.0) == ANSWER  # type: ignore[arg-type]
    assert await insert_once(taken, NotReadableYet(3), ANSWER, 1.0) is None  # type: ignore[arg-type]
