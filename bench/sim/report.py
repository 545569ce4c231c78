"""The tables as text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from bench.sim.targets import Row, Table, by_policy

SCENARIOS = {
    "own": "200 log-normal families on 16 nodes of 64 cores, 256 GB, 8 GPUs; one class, one tenant",
    "classes": "the same in four classes",
    "sweep": "8 nodes, load 0.8 in four classes beside a sweep of 4,000 low jobs, all there from the start",
    "tenants": "the same from five tenants of equal demand",
    "philly": "Philly's shape",
    "helios": "Helios' shape",
    "alibaba": "Alibaba PAI's shape",
    "borg": "Borg 2019's shape",
}
HEAD = ("load", "policy", "mean", "median", "p99", "most", "slowdown", "whole-node mean", "busiest", "cycle p99 ms")


def text(found: Sequence[Row]) -> str:
    """For a terminal."""
    lines = [f"{_mark(row):8} {row.target}: {_reached(row)} (target {row.bound})" for row in found]
    return "\n".join(lines)


def markdown(found: Sequence[Row], table: Table, command: str) -> str:
    """For `bench/results/sim.md`."""
    parts = [
        "# The scheduler in the simulator",
        _preamble(table, command),
        _table(["target", "bound", "reached", "met"], [[r.target, r.bound, _reached(r), _mark(r)] for r in found]),
        "Waits in minutes, medians over seeds. Busiest: use of the fullest dimension until the last submission.",
    ]
    for scenario, what in SCENARIOS.items():
        if lines := by_policy(table, scenario):
            rows = [[f"{load:g}", policy, *(f"{v:.3g}" for v in m.values())] for _, load, policy, m in lines]
            parts += [f"## {what[0].upper()}{what[1:]}", _table(list(HEAD), rows)]
    return "\n\n".join(parts) + "\n"


def _preamble(table: Table, command: str) -> str:
    days, jobs = len(table.outcomes), sum(o.metrics["jobs"] for o in table.outcomes)
    return (
        f"Made by `{command}`: {days} simulated days, {jobs:,} jobs. Where a value stands with an interval: the "
        "median over seeds and loads 0.9 and 1.0, each seed paired with itself, and the 95 % bootstrap interval of "
        "that median."
    )


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *lines])


def _reached(row: Row) -> str:
    if row.reached is None:
        return row.why
    return f"{row.reached}; {row.why}" if row.why else row.reached


def _mark(row: Row) -> str:
    return "not run" if row.met is None else "met" if row.met else "not met"
