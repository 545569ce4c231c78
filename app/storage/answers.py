"""Answers kept under an Idempotency-Key in MongoDB; its own clock drops them after a day (a TTL index on `at`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.errors import DuplicateKeyError

from app.domain.records import StoredAnswer
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Database, Document


def answer_document(answer: StoredAnswer) -> Document:
    """`_id` is the key, so that a key is taken once."""
    return {
        "_id": answer.key,
        "body_digest": answer.body_digest,
        "status": answer.status,
        "answer": answer.answer,
        "at": answer.at,
    }


def answer_from(document: Mapping[str, Any]) -> StoredAnswer:
    """The answer of a document."""
    return StoredAnswer(
        document["_id"], document["body_digest"], document["status"], bytes(document["answer"]), document["at"]
    )


class MongoAnswerStore:
    """`AnswerStore` over the collection `answers`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._answers, self._patience = database["answers"], patience

    async def get(self, key: str) -> StoredAnswer | None:
        with answered():
            found = await self._answers.find_one({"_id": key})
        return None if found is None else answer_from(found)

    async def put(self, answer: StoredAnswer) -> StoredAnswer | None:
        """See the port. Sent again after a lost answer it meets itself, which is no earlier answer."""
        document = answer_document(answer)
        try:
            await until_answered(lambda: self._answers.insert_one(document), self._patience)
        except DuplicateKeyError:
            earlier = await self.get(answer.key)
            return None if earlier == answer else earlier
        return None
