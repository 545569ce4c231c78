"""Idempotency keys: the same key and body gives the first answer again; the same key with another body is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.domain.errors import Invalid
from app.domain.records import StoredAnswer
from app.services import Services


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key as it is stored (scoped by route) and the digest of the body that came with it."""

    key: str
    body_digest: str


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


async def answer_once(services: Services, key: IdempotencyKey | None, do: Callable[[], Awaitable[Answer]]) -> Answer:
    """Do it and remember the answer, or give the earlier one. For changes that are idempotent or create by a given
    id."""
    if key is None:
        return await do()
    earlier = await earlier_answer(services, key)
    if earlier is not None:
        return earlier
    answer = await do()
    stored = StoredAnswer(key.key, key.body_digest, answer.status, answer.body, services.clock.now())
    taken = await services.answers.put(stored)
    return answer if taken is None else replay(taken, key)
