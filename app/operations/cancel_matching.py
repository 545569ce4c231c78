"""Cancel every job that matches, a page at a time, newest first: what depends on a job was submitted after it, so that
it is cancelled itself before its parent's end could fail it.

Which jobs are meant is settled when the call begins: what is submitted after that is not touched. Sent again, after
whatever went wrong, it goes on with those that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from app.domain.control_decisions import decide_cancel
from app.domain.errors import Conflict
from app.domain.job import Job
from app.domain.records import JobQuery
from app.domain.states import OPEN, JobStatus
from app.domain.transitions import Change
from app.operations.change import TRIES, commit_all
from app.operations.control import ring_for
from app.services import Services

log = structlog.get_logger()
PAGE = 500
TICK = timedelta(milliseconds=1)
"""A bound lies this much after the moment it includes."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """How many jobs matched, and what became of them: CANCELLED at once; asked of their nodes; so before; neither,
    since they ended otherwise meanwhile or cannot be changed any more."""

    matched: int = 0
    cancelled: int = 0
    requested: int = 0
    already_cancelled: int = 0
    failed: int = 0

    def __add__(self, other: Cancelled) -> Cancelled:
        return Cancelled(
            self.matched + other.matched,
            self.cancelled + other.cancelled,
            self.requested + other.requested,
            self.already_cancelled + other.already_cancelled,
            self.failed + other.failed,
        )


async def cancel_matching(
    services: Services, query: JobQuery, actor: str, reason: str | None, *, dry_run: bool = False
) -> Cancelled:
    """The counts. A query without states means all that a job can still be cancelled in. `dry_run`: count only."""
    began = services.clock.now() + TICK
    before = min(query.submitted_before or began, began)
    query = replace(query, status=query.status or OPEN, submitted_before=before, limit=PAGE)
    total = Cancelled()
    while True:
        page = await services.jobs.find(query)
        total += await _cancel_page(services, page.jobs, actor, reason, dry_run=dry_run)
        if page.next_after is None:
            return total
        query = replace(query, after=page.next_after)


async def _cancel_page(
    services: Services, jobs: Sequence[Job], actor: str, reason: str | None, *, dry_run: bool
) -> Cancelled:
    """Decide on all of a page and commit; what lost its race is decided again on fresh state."""
    counts = Cancelled(matched=len(jobs))
    for _ in range(TRIES):
        already, changes, failed = _decide(services, jobs, actor, reason)
        counts += Cancelled(already_cancelled=already, failed=failed)
        if dry_run:
            return counts + _counted([change for _, change in changes])
        results = await commit_all(services, changes)
        await ring_for(services, [after for after in results if after is not None])
        decided = list(zip(changes, results, strict=True))
        counts += _counted([change for (_, change), after in decided if after is not None])
        lost = [job.id for (job, _), after in decided if after is None]
        if not lost:
            return counts
        jobs = list((await services.jobs.get_many(lost)).values())
    return counts + Cancelled(failed=len(jobs))


def _decide(
    services: Services, jobs: Sequence[Job], actor: str, reason: str | None
) -> tuple[int, list[tuple[Job, Change]], int]:
    """How many are cancelled already, the changes of others, and how many cannot be cancelled."""
    already, changes, failed = 0, [], 0
    for job in jobs:
        try:
            change = decide_cancel(job, services.stamp(actor), reason)
        except Conflict as refusal:
            log.info("cancel.refused", job_id=job.id, code=refusal.code)
            failed += 1
            continue
        if change is None:
            already += 1
        else:
            changes.append((job, change))
    return already, changes, failed


def _counted(changes: Sequence[Change]) -> Cancelled:
    cancelled = sum(change.entry.to is JobStatus.CANCELLED for change in changes)
    return Cancelled(cancelled=cancelled, requested=len(changes) - cancelled)
