"""Why, and what if: a snapshot of the present made as a cycle makes its own, and reasoned about in a thread.

One question at a time: each reads the whole state, and cycles come first. Nothing is stored, and any process may be
asked, whoever leads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from app.domain.capacity.kinds import NodeTypes
from app.domain.explain import Reason, wait_reasons
from app.domain.explanation import Explanation, reasons_of_the_past
from app.domain.job import Job
from app.domain.records import Waiting
from app.domain.resources import Vector
from app.domain.scheduler_state import QueuePause
from app.domain.states import WAITING, JobStatus
from app.domain.what_if import Counterfactual, NodeKind, Supposed, WhatIf
from app.operations.control import load
from app.operations.inspect import inspect
from app.scheduler.counterfactuals import counterfactuals
from app.scheduler.live_runs import LiveRuns
from app.scheduler.looking import look
from app.scheduler.rules import rules_of
from app.scheduler.snapshot import Snapshot, members_wanted, with_members
from app.scheduler.supposing import Kinds
from app.scheduler.what_if import what_if
from app.scheduler.why import why
from app.services import Services

EXAMINED = 100
"""Jobs at the head of the queue that a what-if follows one by one, besides those that it names."""


class Inquiry:
    """`Inquirer` over the services of a process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._rules = rules_of(services.settings)
        self._kinds = kinds_of(services.settings.capacity.types)
        self._live = LiveRuns(services)
        self._turn = asyncio.Lock()

    async def explain(self, job_id: str) -> Explanation:
        job = await load(self._services, job_id)
        if job.status is JobStatus.QUEUED:
            return await self._waiting(job)
        if job.status in WAITING or job.status is JobStatus.PAUSED:
            [view] = await inspect(self._services, [job])
            return Explanation(job, view.reasons)
        return Explanation(job, reasons_of_the_past(job))

    async def _waiting(self, job: Job) -> Explanation:
        async with self._turn:
            found = await self._services.queue.find([job.id])
            if job.id not in found:
                return Explanation(job, wait_reasons(job, self._services.clock.now()))
            snapshot, pause = await self._snapshot()
            waiting, learned = found[job.id], None if job.sizing is None else job.sizing.suggestion
            (reasons, ahead), changes = await asyncio.to_thread(
                _reasoned, snapshot, waiting, pause, self._kinds, learned
            )
        told = wait_reasons(job, self._services.clock.now(), None, reasons, ahead)
        return Explanation(job, told, changes)

    async def what_if(self, changes: Sequence[Supposed]) -> WhatIf:
        named = [change.job_id for change in changes if hasattr(change, "job_id")]
        async with self._turn:
            first = await self._services.queue.listing(None, EXAMINED)
            found = await self._services.queue.find(named) if named else {}
            examined = {w.member.job_id: w for w in (*first, *found.values())}
            snapshot, _ = await self._snapshot()
            return await asyncio.to_thread(what_if, snapshot, changes, list(examined.values()), self._kinds)

    async def _snapshot(self) -> tuple[Snapshot, QueuePause | None]:
        """As a cycle would see it now; and the queue's pause."""
        services, queue = self._services, self._services.queue
        heads, state = await asyncio.gather(queue.heads(), services.scheduler.state())
        snapshot, pause = await look(services, heads, self._rules, state, self._live)
        wanted = members_wanted(snapshot)
        return with_members(snapshot, await queue.members(wanted) if wanted else {}), pause


def kinds_of(types: NodeTypes) -> Kinds:
    """The kinds of nodes that the settings name."""
    return {name: NodeKind(kind.capacity, kind.all_labels) for name, kind in types.items()}


def _reasoned(
    snapshot: Snapshot, waiting: Waiting, pause: QueuePause | None, kinds: Kinds, learned: Vector | None
) -> tuple[tuple[tuple[Reason, ...], int | None], tuple[Counterfactual, ...]]:
    return why(snapshot, waiting, pause), counterfactuals(snapshot, waiting, kinds, stopwatch(), learned)


def stopwatch() -> Callable[[], float]:
    """Answers the seconds since it was first asked."""
    began: list[float] = []

    def elapsed() -> float:
        if not began:
            began.append(time.perf_counter())
        return time.perf_counter() - began[0]

    return elapsed
