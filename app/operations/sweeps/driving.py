"""Drive a sweep on: record what has happened to its trials, then ask the next, stop it, or settle it.

Runs whenever a trial has ended, and every second besides: a crash at any point leaves what the next look finds.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from app.domain.batch_transitions import settle_batch, stop_batch
from app.domain.batches import ENDING, BatchStatus, Counts
from app.domain.control_decisions import decide_cancel
from app.domain.errors import Invalid, QuotaExceeded
from app.domain.json import Json
from app.domain.states import JobStatus
from app.domain.sweeps.ranking import best_of
from app.domain.sweeps.trials import Over, next_move
from app.domain.transitions import SYSTEM
from app.operations.batches.controlling import change_batch, load_batch
from app.operations.change import commit_all
from app.operations.quotas import refuse_over_quota
from app.operations.sweeps.searching import Search, catch_up, enter, let_in_again, read, stop_early
from app.services import Services

log = structlog.get_logger()


async def drive(services: Services, search: Search) -> None:
    """One look at a sweep, and what follows from it."""
    await catch_up(services, search)
    await stop_early(services, search)
    if search.goes_on:
        await let_in_again(services, search)
    if search.goes_on and await _go_on(services, search):
        await _look_round(services, search)
    if search.batch.ended or search.batch.wants(*ENDING):
        await _end_strays(services, search)
    if not search.book.open():
        await _settle(services, search)


async def _go_on(services: Services, search: Search) -> bool:
    """Stop the sweep, or enter what is to be entered. Whether something was."""
    move = next_move(search.definition.sweep, search.book.trials)
    if move.stops:
        await _stop(services, search, f"{move.over}: {move.detail}")
        return False
    if not move.ask and not search.missing():
        return False
    count = await _allowed(services, search, move.ask)
    expected = search.book.next_number + count
    try:
        await enter(services, search, count)
    except Invalid as invalid:
        await _stop(services, search, f"{Over.FAILING}: a trial cannot be submitted any more: {invalid.message}"[:500])
        return False
    if search.book.next_number < expected:
        await _stop(services, search, f"{Over.USED_UP}: the space holds no other trial")
    return True


async def _look_round(services: Services, search: Search) -> None:
    """A user may have ended the sweep while trials were entered."""
    search.batch = await load_batch(services, search.batch.id)
    if not search.goes_on:
        await read(services, search)


async def _end_strays(services: Services, search: Search) -> None:
    """Cancel what was entered too late to be ended with all else. What runs still is whoever's who ends the sweep."""
    strays = [job for job in search.jobs.values() if job.status is JobStatus.SUBMITTED]
    changes = ((job, decide_cancel(job, services.stamp(), "its sweep has ended")) for job in strays)
    await commit_all(services, [(job, change) for job, change in changes if change is not None])


async def _allowed(services: Services, search: Search, count: int) -> int:
    """How many may be asked in this look: none while the tenant has as many jobs waiting as it may have."""
    try:
        await refuse_over_quota(services, search.definition.request.tenant)
    except QuotaExceeded:
        return 0
    return search.book.at_once(count)


async def _stop(services: Services, search: Search, why: str) -> None:
    log.info("sweep.stopped", sweep=search.batch.id, why=why, trials=search.book.next_number)
    search.batch = await change_batch(services, search.batch.id, lambda b, s: stop_batch(b, s, why), SYSTEM)


async def _settle(services: Services, search: Search) -> None:
    """Bring the sweep to its end, when all its trials are there and none is open, or it is being ended."""
    batch = search.batch
    if batch.ended or not (batch.wants(*ENDING) or search.book.next_number >= batch.size):
        return
    counts = (await services.batches.counts([batch.id]))[batch.id]
    change = settle_batch(batch, counts, services.stamp(), _end(search, counts))
    if change is None:
        return
    change = replace(change, fields={**change.fields, "outcome": outcome(search)})
    if await services.batches.commit(batch, change):
        log.info("sweep.settled", sweep=batch.id, status=change.entry.to, trials=counts.laid_out)


def _end(search: Search, counts: Counts) -> BatchStatus | None:
    """COMPLETED for a sweep that has found what it searched, or all that there is; else as its jobs have ended."""
    why = search.batch.control.reason or "" if search.batch.wants("stop") and search.batch.control else ""
    used_up = why.startswith(Over.USED_UP) and counts.of(JobStatus.COMPLETED) == counts.laid_out
    return BatchStatus.COMPLETED if why.startswith(Over.GOAL_REACHED) or used_up else None


def outcome(search: Search) -> dict[str, Json]:
    """What the sweep has found: the best trial, where one has a value."""
    best = best_of(search.definition.sweep, search.book.trials)
    if best is None or best.end is None:
        return {"best": None}
    return {"best": {"number": best.number, "job_id": best.job_id, "value": best.end.value}}
