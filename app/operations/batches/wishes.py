"""Carry out what is wanted of all jobs of a batch: hold, release, resume, end, retry.

A pass looks at every job that is concerned, a page at a time. A page is decided anew on fresh jobs however often it is
tried, so that two who carry out the same wish do each other no harm. A wish is done when a pass has settled all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from app.domain.batches import ENDING, Batch, BatchStatus
from app.domain.control_decisions import decide_cancel, decide_pause
from app.domain.control_transitions import retry_manually
from app.domain.dependencies import Hopeless, Verdict
from app.domain.errors import Conflict
from app.domain.job import Job
from app.domain.limits import batch_limit
from app.domain.records import JobQuery
from app.domain.states import OPEN, JobStatus
from app.domain.transitions import SYSTEM, Change, Stamp
from app.operations.batches.following import settle
from app.operations.change import TRIES, commit_all
from app.operations.limits import decide_admission
from app.operations.readiness import is_eligible, verdicts_on
from app.operations.resume import decide_resume
from app.services import Services

log = structlog.get_logger()
PAGE = 250
WAITS = frozenset({JobStatus.SUBMITTED, JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.RETRYING})


async def carry_out_wish(services: Services, batch: Batch, patience: float) -> bool:
    """Do for at most so many seconds what is wanted of the jobs of a batch. Whether nothing is left to do."""
    control = batch.control
    if control is None:
        return True
    if not await _pass(services, batch, _WISHES[control.action], time.monotonic() + patience):
        return False
    if control.action not in ENDING:
        await services.batches.carried_out(batch.id, control)
    if control.action in {"resume", "retry"}:
        await admit(services, batch)
    if (now := await services.batches.get(batch.id)) is not None:
        await settle(services, now)
    return True


async def admit(services: Services, batch: Batch) -> None:
    """Let in as many jobs of a batch as there are places, in it and in named limits."""
    names = [*services.settings.limits.concurrency, *([] if batch.width is None else [batch_limit(batch.id)])]
    while pairs := await decide_admission(services, names):
        if not any(await commit_all(services, pairs)):
            return


@dataclass(frozen=True, slots=True)
class _Case:
    """A job of a batch, what its parents say, and the stamp under which it would be changed."""

    batch: Batch
    job: Job
    verdict: Verdict
    stamp: Stamp

    def said(self, otherwise: str) -> str:
        """What the job's history is to tell of it."""
        return (self.batch.control.reason if self.batch.control else None) or otherwise


@dataclass(frozen=True, slots=True)
class _Wish:
    """Which jobs a wish looks at, in which order, and what it makes of one. What depends on another was submitted after
    it, so that jobs are ended newest first."""

    states: frozenset[JobStatus]
    decide: Callable[[_Case], Change | None]
    oldest_first: bool = True


async def _pass(services: Services, batch: Batch, wish: _Wish, until: float) -> bool:
    """Look at all jobs once. False where the time is over, or some kept changing."""
    query = JobQuery(batch_id=batch.id, status=wish.states, oldest_first=wish.oldest_first, limit=PAGE)
    whole = True
    while True:
        page = await services.jobs.find(query)
        whole &= await _page(services, batch, wish, page.jobs)
        if page.next_after is None:
            return whole
        if time.monotonic() > until:
            return False
        query = replace(query, after=page.next_after)


async def _page(services: Services, batch: Batch, wish: _Wish, jobs: Sequence[Job]) -> bool:
    """Decide on a page and commit; what lost its race is decided again on fresh jobs. Whether all were settled."""
    for _ in range(TRIES):
        if not jobs:
            return True
        verdicts = await verdicts_on(services, jobs)
        decided = [(j, _decided(services, batch, wish, j, v)) for j, v in zip(jobs, verdicts, strict=True)]
        pairs = [(job, change) for job, change in decided if change is not None]
        results = await commit_all(services, pairs)
        lost = [job.id for (job, _), after in zip(pairs, results, strict=True) if after is None]
        jobs = list((await services.jobs.get_many(lost)).values()) if lost else []
    return not jobs


def _decided(services: Services, batch: Batch, wish: _Wish, job: Job, verdict: Verdict) -> Change | None:
    if job.status not in wish.states or batch.control is None:
        return None
    try:
        return wish.decide(_Case(batch, job, verdict, services.stamp(batch.control.actor)))
    except Conflict as refusal:
        log.info("batch.job_left", batch_id=batch.id, job_id=job.id, code=refusal.code)
        return None


def _hold(case: _Case) -> Change | None:
    return decide_pause(case.job, case.stamp, case.said("its batch is paused"), release=False)


def _release(case: _Case) -> Change | None:
    return decide_pause(case.job, case.stamp, case.said("its batch is paused"), release=True)


def _resume(case: _Case) -> Change | None:
    if case.job.status is JobStatus.RUNNING and not case.job.wants("pause", "release"):
        return None
    return decide_resume(case.job, case.stamp, case.said("its batch goes on"), case.verdict)


def _end(case: _Case) -> Change | None:
    return decide_cancel(case.job, case.stamp, case.said("its batch was cancelled"))


def _retry(case: _Case) -> Change | None:
    """Only what ended before the retry was asked for, so that nothing is retried twice."""
    job, control = case.job, case.batch.control
    asked_at = control.at if control else case.stamp.at
    if job.finished_at is None or job.finished_at >= asked_at or isinstance(case.verdict, Hopeless):
        return None
    if job.status is JobStatus.CANCELLED and not _cut_short(case):
        return None
    eligible = is_eligible(job, case.verdict, case.stamp.at)
    return retry_manually(job, case.stamp, case.said("its batch is retried"), eligible=eligible)


def _cut_short(case: _Case) -> bool:
    """Whether a cancelled job belongs to what is retried: a rule had ended it, or a user the whole batch."""
    asked = next((entry for entry in reversed(case.batch.history) if entry.reason == "retried"), None)
    whole = asked is not None and asked.source is BatchStatus.CANCELLED
    return whole or case.job.history[-1].actor == SYSTEM


_WISHES: Mapping[str, _Wish] = {
    "hold": _Wish(WAITS, _hold, oldest_first=False),
    "release": _Wish(WAITS | {JobStatus.RUNNING, JobStatus.PAUSED}, _release, oldest_first=False),
    "resume": _Wish(frozenset({JobStatus.PAUSED, JobStatus.RUNNING}), _resume),
    "cancel": _Wish(OPEN, _end, oldest_first=False),
    "stop": _Wish(OPEN, _end, oldest_first=False),
    "retry": _Wish(frozenset({JobStatus.FAILED, JobStatus.TIMEOUT, JobStatus.CANCELLED}), _retry),
}
