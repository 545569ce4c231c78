"""Who waits for whom, as a protocol; and the guard under which an edge is added to jobs that exist.

A job that is submitted names jobs that exist, and nobody names it yet, so no submit can close a cycle. Only an edge
that is added later can, and two that are added at once can close one that neither of them sees. So the graph has a
version, which each such edge raises in the same write: whoever has looked at an older version looks again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from app.domain.job import Job
from app.domain.transitions import Change


class DependencyGraph(Protocol):
    """The edges between jobs, whatever state these are in."""

    async def version(self) -> int:
        """How many times an edge was added; read it before looking at edges."""

    async def commit(self, job: Job, change: Change, version: int) -> bool:
        """Compare-and-set the job on its `seq` and the graph on `version`, both or neither. True where this very change
        is in the job's history now. `job`: what the change was decided on."""

    async def parents_of(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """What each of these names as its dependencies."""

    async def children_of(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Which jobs name each of these as a dependency, by id; without any it is left out."""
