"""Tell who asked for it how a batch ended: one signed POST, tried again for as long as a receiver may be away.

A try is claimed before it is made, by a write that only one can win; a process that dies over it has the message sent
again when the claim is over, under the same id.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from app.domain.batches import Batch, Callback, told
from app.domain.errors import FieldError
from app.domain.ports import Delivery, Message
from app.services import Services

log = structlog.get_logger()
CLAIM = timedelta(seconds=60)
"""Longer than a try may take."""
DELAYS = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3_600, 3 * 3_600, 12 * 3_600))
"""After the first, second, … try; then it is given up."""
SPREAD = 0.2


def callback_errors(services: Services, url: str | None) -> list[FieldError]:
    """Why nobody could ever be told at this address; nothing where none is given."""
    why = None if url is None else services.webhooks.refusal(url)
    return [] if why is None else [FieldError("callback_url", why)]


async def deliver(services: Services, batch: Batch) -> str | None:
    """One try to tell the end of this batch: `delivered`, `failed` or `given_up`; None when another makes it."""
    before = batch.callback
    if before is None or before.due is None or before.seq is None:
        return None
    now = services.clock.now()
    claimed = replace(before, tries=before.tries + 1, due=now + CLAIM)
    if not await services.batches.record_callback(batch.id, before, claimed):
        return None
    delivery = await services.webhooks.send(before.url, message_of(batch, before.seq))
    after = after_try(claimed, delivery, services.clock.now(), random.random())  # noqa: S311 - spreads tries, no secret
    await services.batches.record_callback(batch.id, claimed, after)
    result = "delivered" if after.delivered_at else "failed" if after.due else "given_up"
    log.info("callback.tried", batch_id=batch.id, tries=after.tries, result=result, trouble=after.trouble)
    return result


def message_of(batch: Batch, seq: int) -> Message:
    """What is told of the end at this `seq`, as `batch.state` tells it, and what a sweep has found."""
    data = {**told(batch, batch.counts), "outcome": batch.outcome}
    return Message(f"msg_{batch.id}_{seq}", "batch.ended", batch.finished_at or batch.submitted_at, data)


def after_try(callback: Callback, delivery: Delivery, now: datetime, chance: float) -> Callback:
    """The callback after a try. `chance` in 0–1 spreads the next ones."""
    if delivery.trouble is None:
        return replace(callback, due=None, delivered_at=now, trouble=None)
    if delivery.final or callback.tries > len(DELAYS):
        return replace(callback, due=None, trouble=delivery.trouble)
    delay = DELAYS[callback.tries - 1] * (1 + SPREAD * chance)
    return replace(callback, due=now + delay, trouble=delivery.trouble)
