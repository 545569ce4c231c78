"""The answer that a job or a batch was submitted with under an Idempotency-Key: a part of its own document.

    jobs: {…, keyed: {key, body_digest, status, answer, at}}

Key and job are one document, so one insert stores both or neither, and a process that dies over it leaves nothing open
that would keep others from the key. A unique index on `keyed.key` decides between submits of the same key. After its
time, by the store's own clock, a key is free again though its job lives on: whoever wants it takes it off the old job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from app.domain.records import StoredAnswer
from app.storage.answers import MAJORITY_SECONDS, answer_fields, answer_from
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Collection, Document

BARE: Document = {"keyed": 0}
"""The projection of a whole document without what only the submit needs."""
Insert = Callable[[Document], Awaitable[bool]]
"""Stores the document; False where its id or its key is taken, as it is when it was stored by a sending before."""


class Keyed:
    """Documents by the key that they were submitted under. `kept`: for so long a key belongs to its document."""

    def __init__(self, collection: Collection, kept: timedelta, patience: float = PATIENCE) -> None:
        self._collection, self._patience = collection, patience
        self._oldest = {"$subtract": ["$$NOW", round(kept.total_seconds() * 1000)]}

    async def answer(self, key: str) -> StoredAnswer | None:
        """What was answered under this key. Raises Unavailable."""
        living = {"keyed.key": key, "$expr": {"$gte": ["$keyed.at", self._oldest]}}
        with answered():
            found = await self._collection.find_one(living, {"keyed": 1})
        return None if found is None else answer_from(key, found["keyed"])

    async def insert(self, document: Document, answer: StoredAnswer, insert: Insert) -> StoredAnswer | None:
        """Store the document with its answer; the earlier answer, and nothing stored, where the key is taken.

        An insert that was not answered and is sent again meets itself. Another holder may not be readable yet, while
        its write stands at the primary and waits for the majority; to call that "not taken" would lose ours.
        """
        keyed = {**document, "keyed": {"key": answer.key, **answer_fields(answer)}}
        while not await insert(keyed):
            if await self._is_stored(document["_id"]):
                return None
            if (earlier := await self.answer(answer.key)) is not None:
                return earlier
            if not await self._freed(answer.key):
                await asyncio.sleep(MAJORITY_SECONDS)
        return None

    async def _is_stored(self, job_id: str) -> bool:
        with answered():
            return await self._collection.find_one({"_id": job_id}, {"_id": 1}) is not None

    async def _freed(self, key: str) -> bool:
        """Take the key off a document that has had it for its time."""
        expired = {"keyed.key": key, "$expr": {"$lt": ["$keyed.at", self._oldest]}}
        result = await until_answered(
            lambda: self._collection.update_one(expired, {"$unset": {"keyed": ""}}), self._patience
        )
        return bool(result.matched_count)
