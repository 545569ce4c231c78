"""How good allocations of memory were, and how good those of simpler rules would have been.

Waste is what was allotted and not used, over what was allotted; the out-of-memory rate is runs killed over all runs.
The rules to compare with are what others do: *window maximum*, 1.1 × the largest of the last 20 needs; *VPA*, 1.15 ×
the 90th percentile of all needs and at least 250 MiB, as the vertical pod autoscaler of Kubernetes recommends.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from app.domain.retry import MOST_GROWTHS, PEAK_ROOM, RetryPolicy, grown_memory

WINDOW, OVER_MAXIMUM = 20, 1.1
VPA_RANK, OVER_VPA, VPA_LEAST = 0.9, 1.15, 250.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A run that tells of memory, in MiB: what it was allotted, and the most that it used or, when it was `killed` for
    using more, had used by then."""

    allotted: float
    peak: float
    killed: bool = False

    @property
    def need(self) -> float:
        """What it needed at least."""
        return max(self.peak, PEAK_ROOM * self.allotted) if self.killed else self.peak


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of `runs`: the share that was killed, and the mean waste of the others (None without any)."""

    runs: int
    oom_rate: float
    waste: float | None


@dataclass(slots=True)
class Earlier:
    """What earlier runs of a kind needed, in MiB: in their order, and from the least on."""

    needs: list[float] = field(default_factory=list)
    ordered: list[float] = field(default_factory=list)

    def add(self, need: float) -> None:
        self.needs.append(need)
        insort(self.ordered, need)


Rule = Callable[[Earlier], float]
"""MiB to allot, from what at least one earlier run needed."""


def waste(allotted: float, peak: float) -> float:
    """The share of an allocation that was not used: 0 to 1."""
    return max(0.0, (allotted - peak) / allotted) if allotted > 0 else 0.0


def outcome(runs: Iterable[Measured]) -> Outcome | None:
    """What became of these runs; None of none."""
    found = list(runs)
    if not found:
        return None
    wasted = [waste(run.allotted, run.peak) for run in found if not run.killed]
    return Outcome(len(found), 1 - len(wasted) / len(found), sum(wasted) / len(wasted) if wasted else None)


def window_maximum(earlier: Earlier) -> float:
    """The most that any of the last twenty needed, and a tenth more."""
    return OVER_MAXIMUM * max(earlier.needs[-WINDOW:])


def vpa(earlier: Earlier) -> float:
    """The 90th percentile of all needs, and 15 % more (kubernetes/autoscaler, vertical-pod-autoscaler recommender)."""
    return max(VPA_LEAST, OVER_VPA * earlier.ordered[math.ceil(VPA_RANK * len(earlier.ordered)) - 1])


RULES: Mapping[str, Rule] = MappingProxyType({"window_maximum": window_maximum, "vpa_p90": vpa})


def replayed(needs: Iterable[tuple[float, float]], rule: Rule | None) -> list[Measured]:
    """The runs that the rule would have made of jobs with these needs: (asked, needed) in MiB, oldest first. Without
    earlier runs, and without a rule, each gets what was asked for.

    A run that gets less than it needs is killed, and tried again with more as the retry policy grows memory; after the
    last growth it gets what it needs.
    """
    made: list[Measured] = []
    earlier = Earlier()
    for asked, needed in needs:
        tries = _tries(asked if rule is None or not earlier.needs else rule(earlier), needed)
        for run in tries:
            earlier.add(run.need)
        made += tries
    return made


def _tries(allotted: float, needed: float) -> list[Measured]:
    """The runs of one job that begins with so much."""
    made: list[Measured] = []
    while allotted < needed:
        made.append(Measured(allotted, allotted, killed=True))
        grown = grown_memory(RetryPolicy(), math.ceil(allotted), allotted, None, len(made) - 1)
        allotted = needed if len(made) > MOST_GROWTHS else float(grown)
    return [*made, Measured(allotted, needed)]
