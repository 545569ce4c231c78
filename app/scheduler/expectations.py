"""What jobs are expected to take: the mean of the latest completed runs of their template, else their time limit.

Kept in memory by the leader and found again after a change of leader: a bucket takes the template of the job placed
from it last, or of its head; a live run is known from its placement, or loaded. Means, since work adds up by means.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from app.domain.job import Job
from app.scheduler.forecast import UNKNOWN, Expected
from app.scheduler.loading import load
from app.scheduler.snapshot import Snapshot
from app.services import Services

MEAN_MAX_AGE = 5.0
"""Seconds that a template's mean is used before it is read again."""
MOST_LOADED = 500
"""Jobs loaded for one forecast; the rest are learned by the next ones."""
OVERDUE_LEAST = 1.0
OVERDUE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Kind:
    """What an expectation hangs on: the template, and the time limit in seconds while nothing is known of it."""

    template: str
    limit: float


@dataclass(frozen=True, slots=True)
class Live:
    """A run that holds an allocation, since when."""

    kind: Kind
    since: datetime


class Expectations:
    """The leader's memory of kinds and means."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._buckets: dict[str, Kind] = {}
        self._runs: dict[tuple[str, int], Live] = {}
        self._means: dict[str, tuple[float, float | None]] = {}

    def placed(self, bucket_id: str, job: Job) -> None:
        """Remember a job that was just given its place."""
        kind = Kind(job.template, job.timeout)
        self._buckets[bucket_id] = kind
        self._runs[job.id, job.run_no] = Live(kind, job.scheduled_at or job.submitted_at)

    async def expected(self, snapshot: Snapshot, now: datetime) -> Expected:
        """Expected seconds for every bucket and live run of the snapshot."""
        await self._learn(snapshot)
        kinds = {*self._buckets.values(), *(live.kind for live in self._runs.values())}
        await self._read_means({kind.template for kind in kinds})
        durations = {bucket_id: self._seconds(kind) for bucket_id, kind in self._buckets.items()}
        remaining = {run: self._remaining(live, now) for run, live in self._runs.items()}
        known = [mean for _, mean in self._means.values() if mean is not None]
        return Expected(durations, remaining, fmean(known) if known else UNKNOWN)

    async def _learn(self, snapshot: Snapshot) -> None:
        """Forget what is no more, load what is not known yet."""
        heads = {h.bucket_id: h.members[0].job_id for h in snapshot.heads if h.members}
        runs = {(a.job_id, a.run_no) for n in snapshot.nodes for a in n.allocations}
        self._buckets = {b: kind for b, kind in self._buckets.items() if b in heads}
        self._runs = {run: live for run, live in self._runs.items() if run in runs}
        new_heads = {job_id: b for b, job_id in heads.items() if b not in self._buckets}
        new_runs = dict(sorted(runs - self._runs.keys()))
        wanted = [*new_heads, *new_runs][:MOST_LOADED]
        for job in (await load(self._services, wanted)).jobs.values():
            kind = Kind(job.template, job.timeout)
            if job.id in new_heads:
                self._buckets[new_heads[job.id]] = kind
            if new_runs.get(job.id) == job.run_no:
                self._runs[job.id, job.run_no] = Live(kind, job.started_at or job.scheduled_at or job.submitted_at)

    async def _read_means(self, templates: Iterable[str]) -> None:
        moment = time.monotonic()
        for template in sorted(templates):
            known = self._means.get(template)
            if known is None or moment - known[0] > MEAN_MAX_AGE:
                seconds = await self._services.runs.durations(template)
                self._means[template] = moment, fmean(seconds) if seconds else None

    def _seconds(self, kind: Kind) -> float:
        mean = self._means.get(kind.template, (0.0, None))[1]
        return kind.limit if mean is None else mean

    def _remaining(self, live: Live, now: datetime) -> float:
        """Until the run should end; a run that outlives its estimate is believed to take half as long again."""
        elapsed = max(0.0, (now - live.since).total_seconds())
        left = self._seconds(live.kind) - elapsed
        return left if left > 0 else max(OVERDUE_LEAST, OVERDUE_SHARE * elapsed)
