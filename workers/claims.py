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
from workers.guarding import Guarding
from workers.live import LiveRuns
from workers.patience import until_answered
from workers.run import RunKey

log = structlog.get_logger()


class Claims:
    """Claims for one node. `begin` starts a job that was won."""

    def __init__(
        self, services: Services, node_id: str, runs: LiveRuns, begin: Callable[[Job], object], guard: Guarding
    ) -> None:
        self._services = services
        self._node_id = node_id
        self._runs = runs
        self._begin = begin
        self._guard = guard
        self._under_way: set[RunKey] = set()
        self._closed_for: set[str] = set()

    @property
    def closed(self) -> bool:
        """Whether the node takes no more work."""
        return bool(self._closed_for)

    def close(self, why: str) -> None:
        """Take no more work, until it is open again for every reason for which it was closed."""
        self._closed_for.add(why)

    def open(self, why: str) -> None:
        """That reason is gone."""
        self._closed_for.discard(why)

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
        protection = self._guard.protection
        if not mine or self.closed or protection is None:
            return 0
        pairs = [(job, start(job, self._services.stamp())) for job in mine]
        won = [job for job in await until_answered("claim", lambda: commit_all(self._services, pairs)) if job]
        now = self._guard.protection
        if now is None or now.epoch != protection.epoch or not protection.lasts():
            won = await self._still_ours(won, protection.epoch)
        for job in won:
            self._begin(job)
        return len(won)

    async def _still_ours(self, won: Iterable[Job], epoch: int) -> list[Job]:
        """Of claims that were answered after the node may have lost its jobs: those to begin all the same."""
        ids = [job.id for job in won]
        while (protection := await self._guard.protected()).epoch == epoch:
            jobs = await until_answered("claim", lambda: self._services.jobs.get_many(ids))
            if protection.lasts():
                return [now for job in won if (now := jobs.get(job.id)) and _same_run(now, job)]
        return []

    def __contains__(self, key: object) -> bool:
        """Whether this run lives here, or is being claimed and may begin at any moment."""
        return key in self._runs or key in self._under_way


def _same_run(now: Job, claimed: Job) -> bool:
    return (now.status, now.run_no, now.node_id) == (claimed.status, claimed.run_no, claimed.node_id)


async def take_quietly(claims: Claims, assignments: Iterable[tuple[str, int]]) -> None:
    """For messages: a store that is away is no fault of the message; the beat finds the work later."""
    try:
        await claims.take(assignments)
    except Unavailable as error:
        log.warning("claim.postponed", store=error.store)
