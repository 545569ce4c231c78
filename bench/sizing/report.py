"""The tables as text and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log
from statistics import median
from typing import Any

from app.domain.sizing.measures import Outcome
from app.domain.sizing.priors import prior_of
from bench.sizing.fits import Fit, by_algorithm
from bench.sizing.groups import OURS, SAME

MOST_WASTE, MOST_OOM, MOST_ERROR = 0.6, 0.03, 2.0
WORDS = {
    OURS: "**this service**",
    "requested": "requested, 1.5 to 4 times the need",
    "window_maximum": "largest of the last 20, × 1.1",
    "vpa_p90": "90th percentile × 1.15, at least 250 MiB",
}
PREAMBLE = (
    "Made by `python -m bench sizing` on {machine}. Waste is the mean share of the memory of a completed run that was "
    "not used; out of memory are runs that were killed, over all runs. A killed run is tried again with more, as by "
    "the retry policy. Requested is what a user asks for who multiplies what the group needs, on its larger data (the "
    "upper quartile) where that varies."
)
OF_PRIORS = (
    "Of {jobs} jobs that were not used to set their constants: one core each, the whole run as its worker measured it. "
    "× 1.3 is: half of them within a factor of 1.3."
)


def markdown(tables: Mapping[str, Mapping[str, Outcome]], fits: Sequence[Fit], machine: str) -> str:
    """For `bench/results/sizing.md`."""
    parts = [
        "# Sizing",
        PREAMBLE.format(machine=machine),
        _table(["target", "bound", "reached", "met"], targets(tables, fits)),
    ]
    for name, by_rule in tables.items():
        rows = [[WORDS[rule], _share(o.waste), _percent(o.oom_rate), f"{o.runs:,}"] for rule, o in by_rule.items()]
        parts += [f"## {name[0].upper()}{name[1:]}", _table(["rule", "waste", "out of memory", "runs"], rows)]
    parts += [
        "## What priors foretell",
        OF_PRIORS.format(jobs=len(fits)),
        _table(["algorithm", "jobs", "memory", "seconds of the processor", "seconds on the wall"], _errors(fits)),
    ]
    return "\n\n".join(parts) + "\n"


def targets(tables: Mapping[str, Mapping[str, Outcome]], fits: Sequence[Fit]) -> list[list[str]]:
    """The design's, each with what was reached and whether that meets it."""
    found = []
    for name, by_rule in tables.items():
        if name == SAME:
            continue
        ours, asked, window = by_rule[OURS], by_rule["requested"], by_rule["window_maximum"]
        ratio = (ours.waste or 0.0) / (asked.waste or 1.0)
        found += [
            [f"waste over requested, {name}", f"≤ {MOST_WASTE}", f"{ratio:.2f}", _met(ratio <= MOST_WASTE)],
            [f"out of memory, {name}", f"≤ {MOST_OOM:.0%}", _percent(ours.oom_rate), _met(ours.oom_rate <= MOST_OOM)],
            [
                f"the same, below the window maximum, {name}", f"< {_percent(window.oom_rate)}",
                _percent(ours.oom_rate), _met(ours.oom_rate < window.oom_rate),
            ],
        ]  # fmt: skip
    memory, processor, wall = (error for error, _ in errors(fits))
    for what, error in (("memory", memory), ("processor time", processor), ("wall time", wall)):
        found.append(
            [f"median error of priors, {what}", f"≤ × {MOST_ERROR:g}", f"× {error:.2f}", _met(error <= MOST_ERROR)]
        )
    return found


def errors(fits: Sequence[Fit]) -> list[tuple[float, float]]:
    """Median and 90th percentile of the factor by which priors were off: of memory, processor time, wall time."""
    rows: list[list[float]] = [[], [], []]
    for fit in fits:
        prior = prior_of(fit.known)
        assert prior is not None
        for row, seen, foretold in zip(
            rows,
            (fit.peak_mib, fit.cpu_seconds, fit.seconds),
            (prior.memory_mib, prior.seconds, prior.seconds),
            strict=True,
        ):
            row.append(abs(log(seen / foretold)))
    return [(exp(median(row)), exp(sorted(row)[int(0.9 * len(row))])) for row in rows]


def _errors(fits: Sequence[Fit]) -> list[list[str]]:
    groups: list[tuple[str, Sequence[Fit]]] = [*by_algorithm(fits), ("all", fits)]
    return [
        [name, str(len(own)), *(f"× {middle:.2f} (p90 × {high:.1f})" for middle, high in errors(own))]
        for name, own in groups
    ]


def _table(head: list[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *lines])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _percent(value: float) -> str:
    return f"{value:.1%}".replace("%", " %")


def _met(met: bool) -> str:
    return "met" if met else "not met"


def plain(tables: Mapping[str, Mapping[str, Outcome]]) -> dict[str, Any]:
    """For the stored results."""
    return {name: {rule: [o.runs, o.oom_rate, o.waste] for rule, o in rules.items()} for name, rules in tables.items()}
