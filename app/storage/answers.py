"""Answers kept under an Idempotency-Key in MongoDB; its own clock drops them after a day (a TTL index on `at`).

Those of submits are kept with their jobs (`app.storage.keyed`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pymongo.errors import DuplicateKeyError

from app.domain.records import StoredAnswer
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Collection, Database, Document

MAJORITY_SECONDS = 0.01
"""Pause before another look for what the primary has and the majority has not confirmed yet."""


def answer_document(answer: StoredAnswer) -> Document:
    """`_id` is the key, so that a key is taken once."""
    return {"_id": answer.key, **answer_fields(answer)}


def answer_fields(answer: StoredAnswer) -> Document:
    """All but the key."""
    return {
        "body_digest": answer.body_digest,
        "status": answer.status,
        "answer": answer.answer,
        "at": answer.at,
    }


def answer_from(key: str, fields: Mapping[str, Any]) -> StoredAnswer:
    """The answer under this key, of its stored fields."""
    return StoredAnswer(key, fields["body_digest"], fields["status"], bytes(fields["answer"]), fields["at"])


async def insert_once(
    insert: Callable[[], Awaitable[object]], answers: Collection, answer: StoredAnswer, patience: float
) -> StoredAnswer | None:
    """Have `insert` store the answer; the earlier one when its key is taken, None when this very answer is stored.

    An insert that was not answered and is sent again meets its own key. Another holder may not be readable yet, while
    its write stands at the primary and waits for the majority; to call that "not taken" would lose what came with ours.
    """
    while True:
        try:
            await until_answered(insert, patience)
        except DuplicateKeyError:
            with answered():
                found = await answers.find_one({"_id": answer.key})
            if found is not None:
                earlier = answer_from(answer.key, found)
                return None if earlier == answer else earlier
            await asyncio.sleep(MAJORITY_SECONDS)
        else:
            return None


class MongoAnswerStore:
    """`AnswerStore` over the collection `answers`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._answers, self._patience = database["answers"], patience

    async def get(self, key: str) -> StoredAnswer | None:
        with answered():
            found = await self._answers.find_one({"_id": key})
        return None if found is None else answer_from(key, found)

    async def put(self, answer: StoredAnswer) -> StoredAnswer | None:
        """See the port. Sent again after a lost answer it meets itself, which is no earlier answer."""
        document = answer_document(answer)
        return await insert_once(lambda: self._answers.insert_one(document), self._answers, answer, self._patience)
