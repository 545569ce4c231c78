"""What users do to a whole batch: cancel, pause, resume, retry of what failed.

What is wanted is written on the batch first, then carried out on its jobs (`wishes`): here for a moment, and by
the keeper for as long as it takes.
"""

from __future__ import annotations

from collections.abc import Callable

from app.domain.batch_transitions import (
    BatchChange,
    apply_batch,
    cancel_batch,
    counted,
    pause_batch,
    resume_batch,
    retry_batch,
)
from app.domain.batches import Batch, BatchStatus
from app.domain.errors import NotFound, PreconditionFailed, StaleBatch
from app.domain.states import JobStatus
from app.domain.transitions import Stamp
from app.operations.batches.wishes import carry_out_wish
from app.operations.change import TRIES
from app.services import Services

PATIENCE = 2.0
"""Seconds for which a request itself carries out what it wrote."""
DecideBatch = Callable[[Batch, Stamp], BatchChange | None]


async def load_batch(services: Services, batch_id: str) -> Batch:
    """The batch. Raises NotFound."""
    batch = await services.batches.get(batch_id)
    if batch is None:
        raise NotFound("batch", batch_id)
    return batch


async def change_batch(
    services: Services, batch_id: str, decide: DecideBatch, actor: str, expected_seq: int | None = None
) -> Batch:
    """The batch after what `decide` wants, carried out as far as a moment reaches.

    Raises NotFound, PreconditionFailed, StaleBatch, and what `decide` raises.
    """
    for _ in range(TRIES):
        batch = await load_batch(services, batch_id)
        if expected_seq is not None and batch.seq != expected_seq:
            raise PreconditionFailed(str(batch.seq), str(expected_seq))
        change = decide(batch, services.stamp(actor))
        if change is not None:
            change = counted(change, (await services.batches.counts([batch_id]))[batch_id])
            if not await services.batches.commit(batch, change):
                continue
        after = batch if change is None else apply_batch(batch, change)
        await carry_out_wish(services, after, PATIENCE)
        return await load_batch(services, batch_id)
    raise StaleBatch(batch_id)


async def cancel_whole(
    services: Services, batch_id: str, actor: str, reason: str | None, expected_seq: int | None = None
) -> Batch:
    """Every open job of it is cancelled; it is CANCELLED when none is open any more. Raises as `change_batch`."""
    return await change_batch(services, batch_id, lambda b, s: cancel_batch(b, s, reason), actor, expected_seq)


async def pause_whole(
    services: Services,
    batch_id: str,
    actor: str,
    reason: str | None,
    *,
    release: bool = False,
    expected_seq: int | None = None,
) -> Batch:
    """What waits is held. What runs goes on to its end, or leaves its node with `release`. Raises as `change_batch`."""

    def decide(batch: Batch, stamp: Stamp) -> BatchChange | None:
        return pause_batch(batch, stamp, reason, release=release)

    return await change_batch(services, batch_id, decide, actor, expected_seq)


async def resume_whole(
    services: Services, batch_id: str, actor: str, reason: str | None, expected_seq: int | None = None
) -> Batch:
    """Every paused job of it is resumed. Raises as `change_batch`."""
    return await change_batch(services, batch_id, lambda b, s: resume_batch(b, s, reason), actor, expected_seq)


async def retry_whole(
    services: Services, batch_id: str, actor: str, reason: str | None, expected_seq: int | None = None
) -> Batch:
    """Another attempt at every job that failed, that a rule cut short, and, where a user had cancelled the batch, that
    was cancelled. Raises as `change_batch`."""
    counts = (await services.batches.counts([batch_id]))[batch_id]

    def decide(batch: Batch, stamp: Stamp) -> BatchChange | None:
        cancelled = counts.of(JobStatus.CANCELLED) if batch.status is BatchStatus.CANCELLED else 0
        return retry_batch(batch, stamp, reason, retryable=counts.failed + cancelled)

    return await change_batch(services, batch_id, decide, actor, expected_seq)
