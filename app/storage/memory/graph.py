"""The graph of dependencies in memory, over the store of jobs in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from app.domain.job import Job
from app.domain.records import JobQuery
from app.domain.transitions import Change
from app.storage.memory.jobs import MemoryJobStore

EVERY = 1 << 30


class MemoryDependencyGraph:
    """`DependencyGraph`."""

    def __init__(self, jobs: MemoryJobStore) -> None:
        self._jobs, self._version = jobs, 0

    async def version(self) -> int:
        return self._version

    async def commit(self, job: Job, change: Change, version: int) -> bool:
        if version != self._version:
            found = await self._jobs.get(job.id)
            return found is not None and any(entry.op == change.entry.op for entry in found.history)
        [won] = await self._jobs.commit([change])
        self._version += won
        return won

    async def parents_of(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        return {job.id: job.dependencies for job in (await self._jobs.get_many(job_ids)).values()}

    async def children_of(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        children: defaultdict[str, list[str]] = defaultdict(list)
        for job in (await self._jobs.find(JobQuery(limit=EVERY))).jobs:
            for parent in set(job_ids).intersection(job.dependencies):
                children[parent].append(job.id)
        return {parent: tuple(sorted(ids)) for parent, ids in children.items()}
