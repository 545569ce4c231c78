"""The graph of dependencies in memory, over the store of jobs in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from app.domain.ports.graph import GraphState
from app.domain.records import JobQuery
from app.domain.transitions import Change
from app.storage.memory.jobs import MemoryJobStore

EVERY = 1 << 30


class MemoryDependencyGraph:
    """`DependencyGraph`."""

    def __init__(self, jobs: MemoryJobStore) -> None:
        self._jobs, self._version = jobs, 0
        self._announced: dict[str, Change] = {}

    async def state(self) -> GraphState:
        return GraphState(self._version, dict(self._announced))

    async def announce(self, change: Change, version: int) -> bool:
        known = self._announced.get(change.job_id)
        if version != self._version or known is not None:
            return known is not None and known.entry.op == change.entry.op
        self._version += 1
        self._announced[change.job_id] = change
        return True

    async def settle(self, change: Change) -> None:
        known = self._announced.get(change.job_id)
        if known is not None and known.entry.op == change.entry.op:
            del self._announced[change.job_id]

    async def parents_of(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        return {job.id: job.dependencies for job in (await self._jobs.get_many(job_ids)).values()}

    async def children_of(self, job_ids: Iterable[str], most: int) -> dict[str, tuple[str, ...]]:
        wanted = set(job_ids)
        every = (await self._jobs.find(JobQuery(limit=EVERY))).jobs
        children: defaultdict[str, list[str]] = defaultdict(list)
        for job in [job for job in every if wanted.intersection(job.dependencies)][:most]:
            for parent in wanted.intersection(job.dependencies):
                children[parent].append(job.id)
        return {parent: tuple(sorted(ids)) for parent, ids in children.items()}
