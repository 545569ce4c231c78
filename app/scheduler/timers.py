"""Times that have come: a start time, the end of a retry delay, a queue deadline.

The deadline outweighs the others. A queued job for which no node could ever have room waits a day at most even without
a deadline of its own, and ends FAILED `unsatisfiable`; every other deadline ends in TIMEOUT. The store's clock tells
what has come, so that a leader whose own clock is wrong ends and starts nothing before its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from app.domain.explain import Reason
from app.domain.job import Job
from app.domain.priority import micros, order_key
from app.domain.queueing import demand_of
from app.domain.records import BucketHead
from app.domain.states import WAITING, JobStatus
from app.domain.transitions import Change, Stamp, give_up_unsatisfiable, pass_queue_deadline, retry_now
from app.operations.advance import decide_waiting
from app.operations.change import commit_all
from app.scheduler.loading import load
from app.scheduler.rules import rules_of
from app.scheduler.snapshot import Snapshot, take_snapshot
from app.scheduler.store_clock import store_now
from app.scheduler.verdicts import Judge
from app.services import Services

log = structlog.get_logger()
BATCH = 500
MOST_DUE = 16_000
UNSATISFIABLE_DEADLINE = timedelta(seconds=86_400)


def decide_due(job: Job, now: datetime, verdict: Sequence[Reason], stamp: Stamp) -> Change | None:
    """What the time that came means for a job; None for SUBMITTED jobs within their deadline, whose parents decide.

    `verdict`: the planner's reasons for a queued job.
    """
    if job.deadline is not None and job.deadline <= now and (job.status in WAITING or job.held):
        return end_of_patience(job, verdict, stamp)
    if job.status is JobStatus.RETRYING and job.retry_at is not None and job.retry_at <= now:
        return retry_now(job, stamp)
    return None


def end_of_patience(job: Job, verdict: Sequence[Reason], stamp: Stamp) -> Change:
    """FAILED when no node could hold it, else TIMEOUT."""
    if job.status is JobStatus.QUEUED and is_unsatisfiable(verdict):
        return give_up_unsatisfiable(job, verdict[0].summary, stamp)
    return pass_queue_deadline(job, stamp)


def is_unsatisfiable(verdict: Sequence[Reason]) -> bool:
    return bool(verdict) and verdict[0].code == "unsatisfiable"


class Timers:
    """Applies what has come due."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def fire(self) -> None:
        """Everything that is due now. Jobs whose start time came before their parents ended stay due: looked past."""
        limit = BATCH
        while limit <= MOST_DUE:
            now = await store_now(self._services)
            due = await self._services.jobs.due(now, limit)
            moved = await self._apply(due, now) if due else 0
            if len(due) < limit:
                return
            if moved == 0:
                limit *= 2

    async def _apply(self, due: Sequence[Job], now: datetime) -> int:
        """Change each; answers how many were changed. A job that cannot be decided on keeps no other waiting."""
        judge = Judge(await self._empty_queue()) if any(j.status is JobStatus.QUEUED for j in due) else None
        pairs: list[tuple[Job, Change]] = []
        undecided: list[Job] = []
        for job in due:
            try:
                verdict = judge.of_request(demand_of(job)) if judge and job.status is JobStatus.QUEUED else ()
                change = decide_due(job, now, verdict, self._services.stamp())
            except Exception:
                log.exception("timers.bad_job", job_id=job.id)
                continue
            if change is None:
                undecided.append(job)
            else:
                pairs.append((job, change))
        pairs += await decide_waiting(self._services, undecided)
        return sum(job is not None for job in await commit_all(self._services, pairs))

    async def give_up(self) -> None:
        """End jobs without a deadline of their own that waited a day although no node could hold them."""
        services = self._services
        latest = await store_now(services) - UNSATISFIABLE_DEADLINE
        limit = order_key(latest)
        snapshot = await self._snapshot(await services.queue.heads())
        judge = Judge(snapshot)
        old = [h for h in snapshot.heads if h.members and h.members[0].key <= limit]
        hopeless = [h for h in old if is_unsatisfiable(judge.of_request(h.members[0].demand))]
        if not hopeless:
            return
        members = await services.queue.members({h.bucket_id: min(h.count, BATCH) for h in hopeless})
        loaded = await load(services, [m.job_id for ms in members.values() for m in ms if m.key <= limit])
        pairs = [
            (job, give_up_unsatisfiable(job, verdict[0].summary, services.stamp()))
            for job in loaded.jobs.values()
            if job.status is JobStatus.QUEUED and job.queue_deadline is None and job.submitted_at <= latest
            if is_unsatisfiable(verdict := judge.of_request(demand_of(job)))
        ]
        ended = [job for job in await commit_all(services, pairs) if job is not None]
        log.info("timers.gave_up", jobs=len(ended))

    async def _empty_queue(self) -> Snapshot:
        return await self._snapshot([])

    async def _snapshot(self, heads: Sequence[BucketHead]) -> Snapshot:
        services = self._services
        now = await store_now(services)
        return take_snapshot(await services.nodes.all(), heads, rules_of(services.settings), now, micros(now))
