"""How well memory is allocated, against what simple rules would have allocated to the same runs.

Each rule is asked before a run from what was known then: the peaks of earlier runs of the same tenant, template,
algorithm and data set. All are judged over the same runs, those with enough before them. A run that was killed for want
of memory needed at least 1.2 times what it had. A rule that would have given less than the need has the run killed, and
wastes nothing; else it wastes what was not needed. The rules are those of `sizing/measures`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.domain.sizing.measures import RULES, Earlier, Measured, waste

ENOUGH = 5
"""Earlier runs of the same kind from which on a run is judged."""


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
        return Measured(self.allocated, self.peak, self.killed).need


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
            self.wasted += waste(given, needed)


@dataclass(frozen=True, slots=True)
class Review:
    """What was allocated, and by rule what would have been; over the same runs."""

    ours: Judged = field(default_factory=Judged)
    rules: dict[str, Judged] = field(default_factory=dict)


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
