"""Runs in all, and by class, template, algorithm and tenant: what a rollup holds and an answer is made of.

Each run is counted once in each part. Of everyone's runs there is one breakdown, and one of each tenant's own, so that
who may see one tenant only reads what is that tenant's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from app.domain.analytics.cells import Cell, sum_of
from app.domain.analytics.failure_counts import OTHER, Seen, failures_of, most_frequent, see
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


def breakdowns_of(runs: Iterable[RunSummary]) -> dict[str, Breakdown]:
    """Everyone's, and each tenant's, by whose it is; nothing of no runs."""
    found = list(runs)
    cells = _cells_of(found)
    if not cells:
        return {}
    made = {EVERYONE: _breakdown(cells, found)}
    for tenant in dict.fromkeys(kind.tenant for kind in cells):
        own = {kind: cell for kind, cell in cells.items() if kind.tenant == tenant}
        made[tenant] = _breakdown(own, [run for run in found if run.tenant == tenant])
    return made


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


def _cells_of(runs: Iterable[RunSummary]) -> dict[Kind, Cell]:
    cells: dict[Kind, Cell] = {}
    for run in runs:
        kind = Kind(run.tenant, run.priority.value, run.template, run.algorithm)
        cell = cells.get(kind)
        if cell is None:
            cell = cells[kind] = Cell()
        cell.add(run)
    return cells


def _breakdown(cells: Mapping[Kind, Cell], runs: Iterable[RunSummary]) -> Breakdown:
    """Each run was added to one cell; here few cells are added to many."""
    found = Breakdown(failures=failures_of(runs))
    for kind, cell in cells.items():
        found.total.merge(cell)
        for part, name in zip(PARTS, _names(kind), strict=True):
            if name is not None:
                found.by[part].setdefault(name, Cell()).merge(cell)
    found.bound()
    return found


def _names(kind: Kind) -> tuple[str | None, ...]:
    return kind.priority, kind.template, kind.algorithm, kind.tenant
