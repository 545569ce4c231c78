"""What process trees use: one look at all descendants of this process a tick, whatever the number of runs.

Memory is resident memory summed over the tree, less what the run's process shares with the fork server from birth: the
preloaded libraries are there once, whether or not the run is. A descendant counts from the second look on: between its
fork and its exec a command shows all pages of its parent a second time. A run above its allocation is told to whoever
added it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import psutil

from app.lifecycle import Loop

WATCH_SECONDS = 0.25
_MIB = 1 << 20


@dataclass(slots=True)
class Usage:
    """Of one tree so far: MiB at their peak and at the last look, processor seconds (of processes seen, ended ones
    included)."""

    peak_memory_mib: float = 0.0
    memory_mib: float = 0.0
    cpu_by_process: dict[tuple[int, float], float] = field(default_factory=dict)

    @property
    def cpu_seconds(self) -> float:
        return sum(self.cpu_by_process.values())


@dataclass(slots=True)
class Watched:
    """A tree under watch. `exceeded` is called once, with the memory in MiB that was found."""

    root: int
    limit_mib: int
    inherited_mib: float
    exceeded: Callable[[float], None]
    usage: Usage = field(default_factory=Usage)
    told: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A process at one moment."""

    pid: int
    parent: int
    started: float
    memory_mib: float
    cpu_seconds: float


class TreeWatch(Loop):
    """Looks at all watched trees every quarter of a second; rests while there is none."""

    def __init__(self) -> None:
        super().__init__("tree_watch")
        self._watched: dict[int, Watched] = {}
        self._wake = asyncio.Event()
        self._ended_cpu = 0.0

    @property
    def memory_mib(self) -> float:
        """Of all trees, at the last look."""
        return sum(watched.usage.memory_mib for watched in self._watched.values())

    @property
    def cpu_seconds(self) -> float:
        """Of all trees ever; it only grows."""
        return self._ended_cpu + sum(watched.usage.cpu_seconds for watched in self._watched.values())

    def add(self, root: int, limit_mib: int, inherited_mib: float, exceeded: Callable[[float], None]) -> Watched:
        """Watch the tree below `root`; a limit of 0 is none."""
        watched = self._watched[root] = Watched(root, limit_mib, inherited_mib, exceeded)
        self._wake.set()
        return watched

    def remove(self, root: int) -> None:
        if (watched := self._watched.pop(root, None)) is not None:
            self._ended_cpu += watched.usage.cpu_seconds

    async def run(self) -> None:
        while await self.pause(3600.0 if not self._watched else WATCH_SECONDS, None if self._watched else self._wake):
            if self._watched:
                self.take_in(await asyncio.to_thread(look))

    def take_in(self, seen: Iterable[Seen]) -> None:
        """Add one look to the peaks, and tell about trees above their limit."""
        trees = by_root({each.pid: each for each in seen}, self._watched)
        for root, members in trees.items():
            watched = self._watched[root]
            known = [m for m in members if m.pid == root or (m.pid, m.started) in watched.usage.cpu_by_process]
            memory = max(0.0, sum(m.memory_mib for m in known) - watched.inherited_mib)
            watched.usage.memory_mib = memory
            watched.usage.peak_memory_mib = max(watched.usage.peak_memory_mib, memory)
            watched.usage.cpu_by_process.update({(m.pid, m.started): m.cpu_seconds for m in members})
            if watched.limit_mib and memory > watched.limit_mib and not watched.told:
                watched.told = True
                watched.exceeded(memory)


def look() -> list[Seen]:
    """Every descendant of this process, now."""
    found = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            with process.oneshot():
                times = process.cpu_times()
                memory = process.memory_info().rss / _MIB
                seen = Seen(process.pid, process.ppid(), process.create_time(), memory, times.user + times.system)
        except psutil.Error:
            continue
        found.append(seen)
    return found


def by_root(seen: Mapping[int, Seen], roots: Iterable[int]) -> dict[int, list[Seen]]:
    """The members of each tree: the root and all below it. Roots that are gone are left out."""
    wanted = frozenset(roots)
    trees: dict[int, list[Seen]] = {}
    for process in seen.values():
        at: Seen | None = process
        while at is not None and at.pid not in wanted:
            at = seen.get(at.parent)
        if at is not None:
            trees.setdefault(at.pid, []).append(process)
    return trees
