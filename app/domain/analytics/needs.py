"""How well memory was allocated, by where the amounts came from, against what simple rules would have allocated.

Each rule is asked before a run from what was known then: the needs of earlier runs of the same tenant, template,
algorithm and data set. All are judged over the same runs, those with enough before them. A rule that would have given
less than a run needed has it killed, and wastes nothing. The rules are those of `sizing/measures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.domain.sizing.measures import RULES, Earlier, Measured, Outcome, outcome

ENOUGH = 5
"""Earlier runs of the same kind from which on a run is judged."""
UNKNOWN = "unknown"
"""Where the amounts came from of runs that were stored before it was told."""


@dataclass(frozen=True, slots=True)
class Need:
    """A run that completed, or was killed for want of memory. `kin`: tenant, template, algorithm, data set; `source`:
    where its resources came from (`SOURCES` of sizing)."""

    kin: tuple[str | None, ...]
    measured: Measured
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """What became of the runs that were judged, in all and by source, and what would have by rule; None of no runs."""

    allocated: Outcome | None = None
    by_source: Mapping[str, Outcome] = field(default_factory=dict)
    by_rule: Mapping[str, Outcome | None] = field(default_factory=dict)


def review(runs: Iterable[Need]) -> Review:
    """Judge the runs, oldest first."""
    judged: list[Need] = []
    made: dict[str, list[Measured]] = {name: [] for name in RULES}
    kinds: dict[tuple[str | None, ...], Earlier] = {}
    for run in runs:
        earlier = kinds.setdefault(run.kin, Earlier())
        if len(earlier.needs) >= ENOUGH:
            judged.append(run)
            for name, rule in RULES.items():
                made[name].append(_given(rule(earlier), run.measured.need))
        earlier.add(run.measured.need)
    return Review(outcome(run.measured for run in judged), _by_source(judged), {n: outcome(m) for n, m in made.items()})


def _given(allotted: float, need: float) -> Measured:
    return Measured(allotted, allotted, killed=True) if allotted < need else Measured(allotted, need)


def _by_source(judged: Iterable[Need]) -> dict[str, Outcome]:
    groups: dict[str, list[Measured]] = {}
    for run in judged:
        groups.setdefault(run.source or UNKNOWN, []).append(run.measured)
    found = {source: outcome(runs) for source, runs in sorted(groups.items())}
    return {source: each for source, each in found.items() if each is not None}
