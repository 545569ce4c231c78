"""Claims: SCHEDULED → RUNNING by compare-and-set, many at once. Whatever told of a job has no authority.

A job runs here only when MongoDB says that it is SCHEDULED on this node under that `run_no`, and grants the change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.states import JobStatus
from app.domain.transitions import start
from app.operations.change import commit_all
from app.services import Services
from workers.live import LiveRuns
from workers.patience import until_answered
from workers.run import RunKey

log = structlog.get_logger()


class Claims:
    """Claims for one node. `begin` starts a job that was won."""

    def __init__(self, services: Services, node_id: str, runs: LiveRuns, begin: Callable[[Job], object]) -> None:
        self._services = services
        self._node_id = node_id
        self._runs = runs
        self._begin = begin
        self._under_way: set[RunKey] = set()
        self.closed = False
        """Set when the node takes no more work."""

    async def take(self, assignments: Iterable[tuple[str, int]]) -> int:
        """Claim what a message names. Answers how many were won. Raises Unavailable when nothing can be known."""
        wanted = [key for key in (RunKey(*each) for each in assignments) if key not in self]
        if not wanted or self.closed:
            return 0
        self._under_way.update(wanted)
        try:
            jobs = await self._services.jobs.get_many([key.job_id for key in wanted])
            named = [job for key in wanted if (job := jobs.get(key.job_id)) and job.run_no == key.run_no]
            return await self._claim(named)
        finally:
            self._under_way.difference_update(wanted)

    async def sweep(self) -> int:
        """Claim what is SCHEDULED here and was not told of, or was missed. Answers how many were won."""
        if self.closed:
            return 0
        jobs = await self._services.jobs.on_node(self._node_id, [JobStatus.SCHEDULED])
        fresh = [job for job in jobs if RunKey(job.id, job.run_no) not in self]
        keys = {RunKey(job.id, job.run_no) for job in fresh}
        self._under_way.update(keys)
        try:
            return await self._claim(fresh)
        finally:
            self._under_way.difference_update(keys)

    async def _claim(self, jobs: Iterable[Job]) -> int:
        mine = [job for job in jobs if job.status is JobStatus.SCHEDULED and job.node_id == self._node_id]
        if not mine or self.closed:
            return 0
        pairs = [(job, start(job, self._services.stamp())) for job in mine]
        won = [job for job in await until_answered("claim", lambda: commit_all(self._services, pairs)) if job]
        for job in won:
            self._begin(job)
        return len(won)

    def __contains__(self, key: object) -> bool:
        """Whether this run lives here, or is being claimed and may begin at any moment."""
        return key in self._runs or key in self._under_way


async def take_quietly(claims: Claims, assignments: Iterable[tuple[str, int]]) -> None:
    """For messages: a store that is away is no fault of the message; the beat finds the work later."""
    try:
        await claims.take(assignments)
    except Unavailable as error:
        log.warning("claim.postponed", store=error.store)
