"""How good allocations of memory were, and how good those of simpler rules would have been.

Waste is what was allotted and not used, over what was allotted; the out-of-memory rate is runs killed over all runs.
The rules to compare with are what others do: what the user asked for; the largest of the last twenty with a tenth more;
the 90th percentile with 15 % more, at least 250 MiB (the recommender of Kubernetes' vertical pod autoscaler).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from app.domain.retry import MOST_GROWTHS, PEAK_ROOM, RetryPolicy, grown_memory

WINDOW, WINDOW_MARGIN = 20, 1.1
VPA_QUANTILE, VPA_MARGIN, VPA_FLOOR = 0.9, 1.15, 250.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A run that tells of memory, in MiB: what it was allotted, and the most that it used or, when it was `killed` for
    using more, had used by then."""

    allotted: float
    peak: float
    killed: bool = False

    @property
    def need(self) -> float:
        """The most it used; of a killed one what it must at least have needed, and a fifth more."""
        return PEAK_ROOM * max(self.allotted, self.peak) if self.killed else self.peak


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of `runs`: the share that was killed, and the mean waste of the others (None without any)."""

    runs: int
    oom_rate: float
    waste: float | None


Rule = Callable[[Sequence[Measured], float], float]
"""MiB to allot, from the runs so far (oldest first) and from what the user asked for."""


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


def requested(_: Sequence[Measured], asked: float) -> float:
    """What the user asked for."""
    return asked


def window_maximum(runs: Sequence[Measured], asked: float) -> float:
    """The most that any of the last twenty needed, and a tenth more."""
    return WINDOW_MARGIN * max(run.need for run in runs[-WINDOW:]) if runs else asked


def vpa(runs: Sequence[Measured], asked: float) -> float:
    """The 90th percentile of all needs, and 15 % more (kubernetes/autoscaler, vertical-pod-autoscaler recommender)."""
    if not runs:
        return asked
    needs = sorted(run.need for run in runs)
    return max(VPA_FLOOR, VPA_MARGIN * needs[math.ceil(VPA_QUANTILE * len(needs)) - 1])


BASELINES: Mapping[str, Rule] = MappingProxyType(
    {"requested": requested, "window_maximum": window_maximum, "vpa_p90": vpa}
)


def replayed(needs: Iterable[tuple[float, float]], rule: Rule) -> list[Measured]:
    """The runs that the rule would have made of jobs with these needs: (asked, needed) in MiB, oldest first.

    A run that gets less than it needs is killed, and tried again with more as the retry policy grows memory; after the
    last growth it gets what it needs.
    """
    made: list[Measured] = []
    for asked, needed in needs:
        allotted = rule(made, asked)
        growths = 0
        while allotted < needed:
            made.append(Measured(allotted, allotted, killed=True))
            grown = grown_memory(RetryPolicy(), math.ceil(allotted), allotted, None, growths)
            allotted = needed if growths >= MOST_GROWTHS else float(grown)
            growths += 1
        made.append(Measured(allotted, needed))
    return made


def compared(runs: Sequence[Measured]) -> dict[str, Outcome]:
    """What became of these runs (oldest first), `actual`, and by name what the rules that learn would have made of the
    same jobs: of those runs that were not killed, whose needs are known. Nothing of no runs."""
    actual = outcome(runs)
    if actual is None:
        return {}
    needs = [(run.allotted, run.need) for run in runs if not run.killed]
    made = {name: outcome(replayed(needs, rule)) for name, rule in BASELINES.items() if rule is not requested}
    return {"actual": actual, **{name: found for name, found in made.items() if found is not None}}
