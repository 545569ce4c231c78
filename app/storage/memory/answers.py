"""Answers kept under an Idempotency-Key, in memory."""

from __future__ import annotations

from app.domain.records import StoredAnswer


class MemoryAnswerStore:
    """`AnswerStore`."""

    def __init__(self) -> None:
        self._stored: dict[str, StoredAnswer] = {}

    async def get(self, key: str) -> StoredAnswer | None:
        return self._stored.get(key)

    async def put(self, answer: StoredAnswer) -> StoredAnswer | None:
        earlier = self._stored.setdefault(answer.key, answer)
        return None if earlier == answer else earlier
