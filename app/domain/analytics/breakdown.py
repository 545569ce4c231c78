"""Runs in all, and by class, template, algorithm and tenant: what a rollup holds and an answer is made of.

Each run is counted once in each part. Of everyone's runs there is one breakdown, and one of each tenant's own, so that
who may see one tenant only reads what is that tenant's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from app.domain.analytics.cells import Cell, sum_of
from app.domain.analytics.failure_counts import OTHER, Seen, most_frequent, see, seen_in
from app.domain.records import RunSummary

EVERYONE = ""
"""Whose runs: everyone's. Tenants are told by their names, and none has this one."""
MOST_NAMES = 50
"""Templates, algorithms and tenants that are told apart; the rest is `OTHER`."""


class Kind(NamedTuple):
    """By what runs are told apart. `priority`: the class that was asked for."""

    tenant: str
    priority: str
    template: str
    algorithm: str | None


PARTS = ("class", "template", "algorithm", "tenant")
"""By what there are cells, in the order of `_names`."""


@dataclass(slots=True)
class Breakdown:
    """`by`: part → name → cell; a run without an algorithm is in no cell of that part."""

    total: Cell = field(default_factory=Cell)
    by: dict[str, dict[str, Cell]] = field(default_factory=lambda: {part: {} for part in PARTS})
    failures: dict[str, Seen] = field(default_factory=dict)

    def merge(self, other: Breakdown) -> None:
        """Count the other's too."""
        self.total.merge(other.total)
        for part, cells in other.by.items():
            mine = self.by[part]
            for name, cell in cells.items():
                mine.setdefault(name, Cell()).merge(cell)
        for fingerprint, seen in other.failures.items():
            see(self.failures, fingerprint, seen)

    def bound(self) -> None:
        """Tell apart no more than may be: the less frequent become one."""
        self.by = {part: most_used(cells, MOST_NAMES) for part, cells in self.by.items()}
        self.failures = most_frequent(self.failures)


class Gathering:
    """Takes runs in, some at a time, and tells their breakdowns. Each run is added to one cell, and in the end few
    cells to many."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[Kind, Cell]] = {}
        self._failures: dict[str, dict[str, Seen]] = {}

    def add(self, runs: Iterable[RunSummary]) -> None:
        """Count these too."""
        for run in runs:
            kind = Kind(run.tenant, run.priority.value, run.template, run.algorithm)
            cells = self._cells.setdefault(run.tenant, {})
            if kind not in cells:
                cells[kind] = Cell()
            cells[kind].add(run)
            if run.fingerprint is not None:
                see(self._failures.setdefault(run.tenant, {}), run.fingerprint, seen_in(run))

    def breakdowns(self) -> dict[str, Breakdown]:
        """Everyone's, and each tenant's, by whose it is; nothing of no runs."""
        if not self._cells:
            return {}
        own = {tenant: self._of(tenant) for tenant in self._cells}
        made = {EVERYONE: sum_up(own.values()), **own}
        for breakdown in made.values():
            breakdown.bound()
        return made

    def _of(self, tenant: str) -> Breakdown:
        found = Breakdown(failures=self._failures.get(tenant, {}))
        for kind, cell in self._cells[tenant].items():
            found.total.merge(cell)
            for part, name in zip(PARTS, _names(kind), strict=True):
                if name is not None:
                    found.by[part].setdefault(name, Cell()).merge(cell)
        return found


def sum_up(parts: Iterable[Breakdown]) -> Breakdown:
    """All of them as one. None of them is changed."""
    found = Breakdown()
    for part in parts:
        found.merge(part)
    return found


def most_used(cells: Mapping[str, Cell], most: int) -> dict[str, Cell]:
    """So many names, those with most runs first; the others are one, under `OTHER`, at the end."""
    ordered = sorted(cells.items(), key=lambda pair: (pair[0] == OTHER, -pair[1].runs, pair[0]))
    if len(ordered) <= most:
        return dict(ordered)
    return {**dict(ordered[:most]), OTHER: sum_of(cell for _, cell in ordered[most:])}


def _names(kind: Kind) -> tuple[str | None, ...]:
    return kind.priority, kind.template, kind.algorithm, kind.tenant
