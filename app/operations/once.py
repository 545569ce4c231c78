"""Idempotency keys: the same key and body gives the first answer again; the same key with another body is refused.

Requests of one key that meet are answered one after the other in this process; one that another process answers is
noticed by its conflict, and then waited for a moment.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakValueDictionary

from app.domain.errors import Conflict, Invalid
from app.domain.records import StoredAnswer
from app.services import Services


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key as it is stored (scoped by route) and the digest of the body that came with it."""

    key: str
    body_digest: str

    @property
    def op(self) -> str:
        """The identity of the one change that is made under this key, so that its history tells that it was made."""
        return hashlib.blake2b(f"{self.key} {self.body_digest}".encode(), digest_size=12).hexdigest()

    def remembered(self, answer: Answer, at: datetime) -> StoredAnswer:
        """The answer as it is stored under this key."""
        return StoredAnswer(self.key, self.body_digest, answer.status, answer.body, at)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send: status and bytes; `replayed` when it is an earlier answer."""

    status: int
    body: bytes
    replayed: bool = False


async def earlier_answer(services: Services, key: IdempotencyKey) -> Answer | None:
    """The answer already given under this key, if any. Raises Invalid when the body was another."""
    stored = await services.answers.get(key.key)
    return None if stored is None else replay(stored, key)


def replay(stored: StoredAnswer, key: IdempotencyKey) -> Answer:
    """The stored answer, for the same body only."""
    if stored.body_digest != key.body_digest:
        message = "this key was used with another body; send a new key"
        raise Invalid.one("Idempotency-Key", message, code="idempotency_key_reused")
    return Answer(stored.status, stored.answer, replayed=True)


LOOKS, LOOK_SECONDS = 5, 0.05
"""How often, and how far apart, one looks for the answer of another process that has just made the same change."""
_in_flight: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


async def answer_once(services: Services, key: IdempotencyKey | None, do: Callable[[], Awaitable[Answer]]) -> Answer:
    """Do it and remember the answer, or give the earlier one. For changes that are idempotent or create by a given
    id."""
    if key is None:
        return await do()
    async with _in_flight.setdefault(key.key, asyncio.Lock()):
        return await earlier_answer(services, key) or await _first_answer(services, key, do)


async def _first_answer(services: Services, key: IdempotencyKey, do: Callable[[], Awaitable[Answer]]) -> Answer:
    try:
        answer = await do()
    except Conflict:
        if (earlier := await _answer_elsewhere(services, key)) is None:
            raise
        return earlier
    taken = await services.answers.put(key.remembered(answer, services.clock.now()))
    return answer if taken is None else replay(taken, key)


async def _answer_elsewhere(services: Services, key: IdempotencyKey) -> Answer | None:
    """What another process answers under this key, if the conflict was with that."""
    for _ in range(LOOKS):
        if (earlier := await earlier_answer(services, key)) is not None:
            return earlier
        await asyncio.sleep(LOOK_SECONDS)
    return None
