"""How well memory is allocated, against what simple rules would have allocated to the same runs.

Each rule is asked before a run from what was known then: the peaks of earlier runs of the same tenant, template,
algorithm and data set. All are judged over the same runs, those with enough before them. A run that was killed for want
of memory needed at least 1.2 times what it had. A rule that would have given less than the need has the run killed, and
wastes nothing; else it wastes what was not needed.

The rules: *window maximum* is 1.1 × the largest of the last 20 needs; *VPA* is 1.15 × the 90th percentile of all
earlier needs and at least 250 MiB, as the autoscaler of Kubernetes recommends.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import ceil

ENOUGH = 5
"""Earlier runs of the same kind from which on a run is judged."""
KILLED_NEEDS = 1.2
WINDOW, OVER_MAXIMUM = 20, 1.1
VPA_RANK, OVER_VPA, VPA_LEAST = 0.9, 1.15, 250.0
Rule = Callable[["Earlier"], float]


@dataclass(frozen=True, slots=True)
class Need:
    """A run that completed, or was killed for want of memory: MiB allocated, and its peak. `kin`: tenant, template,
    algorithm, data set."""

    kin: tuple[str | None, ...]
    allocated: float
    peak: float
    killed: bool

    @property
    def least(self) -> float:
        """What it needed at least."""
        return max(self.peak, KILLED_NEEDS * self.allocated) if self.killed else self.peak


@dataclass(slots=True)
class Judged:
    """What came of a rule: over `runs`, how many were killed, and the waste of the others, summed."""

    runs: int = 0
    killed: int = 0
    wasted: float = 0.0

    @property
    def waste(self) -> float | None:
        """Mean of (given − needed) / given; None without a run that lived."""
        lived = self.runs - self.killed
        return self.wasted / lived if lived else None

    @property
    def killed_rate(self) -> float | None:
        return self.killed / self.runs if self.runs else None

    def judge(self, given: float, needed: float, *, killed: bool) -> None:
        """Take in what a run was given."""
        self.runs += 1
        self.killed += killed
        if not killed:
            self.wasted += max(0.0, (given - needed) / given)


@dataclass(frozen=True, slots=True)
class Review:
    """What was allocated, and by rule what would have been; over the same runs."""

    ours: Judged = field(default_factory=Judged)
    rules: dict[str, Judged] = field(default_factory=dict)


@dataclass(slots=True)
class Earlier:
    """What earlier runs of a kind needed, in MiB: in their order, and from the least on."""

    needs: list[float] = field(default_factory=list)
    ordered: list[float] = field(default_factory=list)

    def add(self, need: float) -> None:
        self.needs.append(need)
        insort(self.ordered, need)


def window_maximum(earlier: Earlier) -> float:
    """Of at least one run."""
    return OVER_MAXIMUM * max(earlier.needs[-WINDOW:])


def vpa(earlier: Earlier) -> float:
    """Of at least one run."""
    return max(VPA_LEAST, OVER_VPA * earlier.ordered[ceil(VPA_RANK * len(earlier.ordered)) - 1])


RULES: dict[str, Rule] = {"window_maximum": window_maximum, "vpa_p90": vpa}


def review(runs: Iterable[Need]) -> Review:
    """Judge the runs, oldest first."""
    found = Review(rules={name: Judged() for name in RULES})
    kinds: dict[tuple[str | None, ...], Earlier] = {}
    for run in runs:
        earlier = kinds.setdefault(run.kin, Earlier())
        if len(earlier.needs) >= ENOUGH:
            found.ours.judge(run.allocated, run.peak, killed=run.killed)
            for name, rule in RULES.items():
                given = rule(earlier)
                found.rules[name].judge(given, run.least, killed=given < run.least)
        earlier.add(run.least)
    return found
