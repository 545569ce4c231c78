"""The table of the proof: for each scenario the fault, what was measured, and what was found without the protection.

Markdown, in the form in which `docs/guarantees.md` shows it. A scenario is known by its function: a trial of it with
everything in place gives its figures, one with a protection taken off its finding.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.chaos.checker import Violation
from tests.chaos.observation import Figure

_FAULT = re.compile(r"F\d+(/F\d+)?")
_WIDEST = 160


@dataclass(frozen=True, slots=True)
class Trialled:
    """One trial of a scenario: `without` the named protections, what was measured, and the first things found."""

    scenario: str
    told: str
    without: Sequence[str]
    figures: Sequence[Figure] = ()
    found: Sequence[str] = ()


@dataclass
class _Row:
    told: str
    figures: dict[str, Figure] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    controls: list[str] = field(default_factory=list)


def told_by(scenario: object) -> tuple[str, str]:
    """A scenario's name and the first line of what it says of itself; a `partial` counts as its function."""
    function = getattr(scenario, "func", scenario)
    first = (inspect.getdoc(function) or "").partition("\n")[0]
    return getattr(function, "__name__", str(function)), first


def found_in(violations: Iterable[Violation]) -> list[str]:
    """The first violation of each invariant, as text."""
    first: dict[str, Violation] = {}
    for violation in violations:
        first.setdefault(violation.invariant, violation)
    return [f"{v.invariant}: {v.subject if v.invariant == 'figure' else ''} {v.what}" for v in first.values()]


def table(trials: Iterable[Trialled]) -> str:
    """All of it, a row for each scenario, in the order of the faults' numbers."""
    rows: dict[str, _Row] = {}
    for trial in trials:
        row = rows.setdefault(trial.scenario, _Row(trial.told))
        if trial.without:
            found = _short(trial.found[0]) if trial.found else "**nothing**"
            row.controls.append(f"without {', '.join(f'`{name}`' for name in trial.without)}: {found}")
            continue
        row.failed += trial.found
        for figure in trial.figures:
            row.figures[figure.name] = max(figure, row.figures.get(figure.name, figure), key=lambda f: f.value)
    lines = [_line(scenario, row) for scenario, row in sorted(rows.items(), key=lambda item: _number(item[1].told))]
    head = ["| fault | scenario | measured | limit | with the protection taken off |", "|---|---|---|---|---|"]
    return "\n".join([*head, *lines])


def _line(scenario: str, row: _Row) -> str:
    name = _FAULT.search(row.told)
    measured = [f"{f.name}: {_amount(f.value, f.unit)}" for f in row.figures.values()]
    limits = [_amount(f.at_most, f.unit) if f.at_most is not None else "–" for f in row.figures.values()]
    broken = [f"✗ {_short(found)}" for found in row.failed]
    told = row.told.partition(": ")[2] or row.told
    cells = (
        name[0] if name else "",
        f"{scenario.replace('_', ' ')}: {told}",
        "<br>".join([*measured, *broken]) or "no invariant broken",
        "<br>".join(limits),
        "<br>".join(row.controls),
    )
    return "| " + " | ".join(cells) + " |"


def _amount(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if unit == "s" else f"{value:g} {unit}"


def _short(text: str) -> str:
    plain = " ".join(text.replace("|", "/").split())
    return plain if len(plain) <= _WIDEST else plain[: _WIDEST - 1] + "…"


def _number(told: str) -> tuple[int, str]:
    found = re.search(r"\d+", told)
    return int(found[0]) if found else 99, told
