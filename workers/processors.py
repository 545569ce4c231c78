"""Which processors a run may use: as many as it asked for, bounded by those that exist, the least used ones first."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable


def own_cpus() -> tuple[int, ...]:
    """The processors that this process may use, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


class Processors:
    """Counts the runs on each processor of the node."""

    def __init__(self, cpus: Iterable[int]) -> None:
        self._runs = dict.fromkeys(cpus, 0)

    def take(self, millicores: int) -> tuple[int, ...]:
        """Processors for a run, ascending; at least one. Give them back when it has ended."""
        count = min(len(self._runs), max(1, math.ceil(millicores / 1000)))
        chosen = tuple(sorted(sorted(self._runs, key=lambda cpu: (self._runs[cpu], cpu))[:count]))
        for cpu in chosen:
            self._runs[cpu] += 1
        return chosen

    def give_back(self, cpus: Iterable[int]) -> None:
        for cpu in cpus:
            self._runs[cpu] -= 1
