"""What the changes of jobs make of their batches: the last end settles one, a failure may stop one, and what comes back
to wait in one that is paused or being ended is held or cancelled there and then.

All of it is found by the keeper too, from the jobs alone: a process that dies between a job's end and what follows
costs seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from app.domain.batch_transitions import apply_batch, counted, reopen_batch, settle_batch, stop_batch
from app.domain.batches import ENDING, Batch, BatchKind, BatchStatus, Counts
from app.domain.control_decisions import decide_cancel, decide_pause
from app.domain.job import Job
from app.domain.records import JobQuery
from app.domain.states import OPEN, JobStatus
from app.domain.transitions import Change
from app.operations.effects import Moved
from app.services import Services

log = structlog.get_logger()
FAILED = frozenset({JobStatus.FAILED, JobStatus.TIMEOUT})
FIRST_PAGE = 200
"""Jobs of a stopped batch that are ended at once; the keeper goes on with the others."""


async def decide_of_batches(services: Services, moved: Sequence[Moved]) -> list[tuple[Job, Change]]:
    """Settles and stops the batches of these jobs, and answers what that makes of their jobs."""
    concerned = [m for m in moved if m.after.batch_id is not None and (m.ended or m.waits_again or m.came_back)]
    if not concerned:
        return []
    batches = await services.batches.get_many({m.after.batch_id or "" for m in concerned})
    decided = []
    for batch in batches.values():
        own = [m for m in concerned if m.after.batch_id == batch.id]
        decided += await _decide(services, batch, own)
    return decided


async def _decide(services: Services, batch: Batch, moved: Sequence[Moved]) -> list[tuple[Job, Change]]:
    if batch.ended:
        batch = await _opened(services, batch, moved[0].after)
    failed = next((m.after for m in moved if m.ended and m.after.status in FAILED), None)
    if failed is not None and batch.fail_fast and (stopped := await fail_fast(services, batch, failed)) is not None:
        page = await services.jobs.find(JobQuery(batch_id=batch.id, status=OPEN, limit=FIRST_PAGE))
        return end_by_wish(services, stopped, page.jobs)
    if any(m.ended for m in moved):
        await settle(services, batch)
    return wanted_of(services, batch, [m.after for m in moved if not m.after.terminal])


def wanted_of(services: Services, batch: Batch, jobs: Sequence[Job]) -> list[tuple[Job, Change]]:
    """What a batch wants of jobs of it that wait."""
    if batch.wants(*ENDING):
        return end_by_wish(services, batch, jobs)
    if batch.status is not BatchStatus.PAUSED:
        return []
    stamp, why = services.stamp, _why_paused(batch)
    changes = ((job, decide_pause(job, stamp(why[0]), why[1], release=False)) for job in jobs)
    return [(job, change) for job, change in changes if change is not None]


def _why_paused(batch: Batch) -> tuple[str, str]:
    """Who paused a batch, and what is said of it in the history of its jobs."""
    paused = next(entry for entry in reversed(batch.history) if entry.to is BatchStatus.PAUSED)
    return paused.actor, paused.detail or "its batch is paused"


def end_by_wish(services: Services, batch: Batch, jobs: Sequence[Job]) -> list[tuple[Job, Change]]:
    """The cancels of those of these jobs that have not ended, as whoever ends the batch wants them."""
    control = batch.control
    if control is None:
        return []
    why = control.reason or "its batch was cancelled"
    changes = ((job, decide_cancel(job, services.stamp(control.actor), why)) for job in jobs if not job.terminal)
    return [(job, change) for job, change in changes if change is not None]


async def fail_fast(services: Services, batch: Batch, failed: Job) -> Batch | None:
    """The batch once it is stopped for this failure; None when it ends already, or another was faster."""
    change = stop_batch(batch, services.stamp(), f"fail_fast: {failed.id} ended {failed.status}")
    if change is None:
        return None
    change = counted(change, (await services.batches.counts([batch.id]))[batch.id])
    return apply_batch(batch, change) if await services.batches.commit(batch, change) else None


async def _opened(services: Services, batch: Batch, job: Job) -> Batch:
    """An ended batch of which a job was retried by itself is open again, until that has ended. A retry after which a
    process died shows in the counts when the job ends."""
    change = reopen_batch(batch, job.id, services.stamp()) if batch.kind is BatchKind.BATCH else None
    if change is None:
        return batch
    counts = (await services.batches.counts([batch.id]))[batch.id]
    if counts.tell() == batch.counts.tell():
        return batch
    if await services.batches.commit(batch, change):
        return apply_batch(batch, change)
    return await services.batches.get(batch.id) or batch


async def settle(services: Services, batch: Batch, counts: Counts | None = None) -> Batch:
    """The batch after it has come to its end, when none of its jobs is open; else as it is."""
    if counts is None:
        if batch.ended or batch.id in await services.batches.first_open([batch.id]):
            return batch
        counts = (await services.batches.counts([batch.id]))[batch.id]
    change = settle_batch(batch, counts, services.stamp()) if batch.kind is BatchKind.BATCH else None
    if change is None or not await services.batches.commit(batch, change):
        return batch
    log.info("batch.settled", batch_id=batch.id, status=change.entry.to.value)
    return apply_batch(batch, change)
