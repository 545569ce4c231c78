"""Who waits for whom, as a protocol; and the guard under which an edge is added to jobs that exist.

A job that is submitted names jobs that exist, and nobody names it yet, so no submit can close a cycle. Only an edge
that is added later can, and two that are added at once can close one that neither of them sees. So such an edge is
announced first, in one place, at the version of the graph that its maker has looked at: whoever looked at an older one
looks again, and sees what was announced. Only then is the job changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.transitions import Change


@dataclass(frozen=True, slots=True)
class GraphState:
    """The version of the graph, and the changes of jobs that were announced and may not be made yet, by job."""

    version: int = 0
    announced: Mapping[str, Change] = field(default_factory=dict)


class DependencyGraph(Protocol):
    """The edges between jobs, whatever state these are in."""

    async def state(self) -> GraphState:
        """As it is now; ask before looking at edges."""

    async def announce(self, change: Change, version: int) -> bool:
        """Have everybody see that the dependencies of a job are about to change so. False, and nothing is announced,
        where the graph is not at `version` any more, or another change of that job is announced."""

    async def settle(self, change: Change) -> None:
        """The announced change was made, or never will be: it is announced no more."""

    async def parents_of(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """What each of these names as its dependencies."""

    async def children_of(self, job_ids: Iterable[str], most: int) -> dict[str, tuple[str, ...]]:
        """Which jobs name each of these as a dependency, by id; without any it is left out. At most so many of them in
        all."""
