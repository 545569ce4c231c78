"""What the planner must know of each run that holds an allocation: whose it is, and when it should and must end.

Kept in memory by the leader; a new leader loads it. Clocks of a frozen run stand still, and it may stay frozen for
`PAUSE_HOLD_SECONDS`, so its ends move as long as it is frozen: frozen ones are looked up again and again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, pairwise

from app.domain.durations import Duration
from app.domain.job import Entry, Job
from app.domain.nodes import Node
from app.domain.priority import SECOND, micros
from app.domain.queueing import hard_duration, labels
from app.domain.states import JobStatus
from app.scheduler.loading import load
from app.scheduler.profile import Live
from app.scheduler.snapshot import RunKey
from app.services import Services

CHUNK = 1_000
FROZEN_EVERY = 5.0
"""Seconds between two looks at which runs are frozen."""


def live_of(job: Job) -> Live:
    """A job's present run. One that was only just placed begins now."""
    began = micros(job.started_at if job.started_at and job.status is not JobStatus.SCHEDULED else _placed_at(job))
    began += round(paused_seconds(job.history, job.run_no) * SECOND)
    duration = job.duration
    if job.wants("preempt"):
        duration = Duration(0, 0, 0, "preempted")
    return Live(
        job_id=job.id,
        run_no=job.run_no,
        tenant=job.tenant,
        priority=job.effective_priority,
        started=began,
        mean_end=began + round(duration.mean * SECOND),
        soft_end=began + round(duration.cautious * SECOND),
        hard_end=began + hard_duration(job.timeout),
        preemptible=job.preemptible,
        preempted=job.preempted,
        has_checkpoint=job.checkpoint is not None,
        paused=job.frozen,
        selector=labels(job.node_selector),
    )


def _placed_at(job: Job) -> datetime:
    return job.scheduled_at or job.submitted_at


def paused_seconds(history: Sequence[Entry], run_no: int) -> float:
    """How long a run was frozen, but for a freeze that still lasts."""
    return sum(
        (after.at - before.at).total_seconds()
        for before, after in pairwise(history)
        if before.to is JobStatus.PAUSED and after.to is JobStatus.RUNNING and after.run_no == run_no
    )


def frozen(live: Live, now: int, hold: timedelta) -> Live:
    """A frozen run may stay so for the whole hold, and then take what it has left."""
    wait = round(hold.total_seconds() * SECOND)
    left = [max(0, end - live.started) for end in (live.mean_end, live.soft_end, live.hard_end)]
    mean, soft, hard = (now + wait + rest for rest in left)
    return replace(live, mean_end=mean, soft_end=soft, hard_end=hard, paused=True)


class LiveRuns:
    """The leader's memory of live runs."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: dict[RunKey, Live] = {}
        self._frozen: frozenset[RunKey] = frozenset()
        self._looked = 0.0

    def placed(self, job: Job) -> None:
        """Remember a job that was just given its place."""
        self._known[job.id, job.run_no] = live_of(job)

    async def of(self, nodes: Iterable[Node], now: int) -> Mapping[RunKey, Live]:
        """Every run that holds an allocation and whose job can be read."""
        held = {(a.job_id, a.run_no) for node in nodes for a in node.allocations}
        self._known = {run: live for run, live in self._known.items() if run in held}
        await self._look_at_frozen()
        await self._learn(sorted(held - self._known.keys()))
        hold = self._hold
        return {run: frozen(live, now, hold) if run in self._frozen else live for run, live in self._known.items()}

    @property
    def _hold(self) -> timedelta:
        return self._services.settings.node.pause_hold

    async def _look_at_frozen(self) -> None:
        """Those that are frozen no more are loaded anew, since their clocks stood still."""
        if time.monotonic() - self._looked < FROZEN_EVERY:
            return
        places = await self._services.jobs.in_state([JobStatus.PAUSED])
        found = frozenset((job_id, run_no) for job_id, (node_id, run_no) in places.items() if node_id is not None)
        for run in self._frozen - found:
            self._known.pop(run, None)
        self._frozen, self._looked = found, time.monotonic()

    async def _learn(self, runs: Sequence[RunKey]) -> None:
        rest = iter(runs)
        while chunk := list(islice(rest, CHUNK)):
            for job in (await load(self._services, [job_id for job_id, _ in chunk])).jobs.values():
                if (job.id, job.run_no) in chunk:
                    self._known[job.id, job.run_no] = live_of(job)
