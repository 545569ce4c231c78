"""The plots, as PNG and SVG. They need matplotlib, which is asked for only here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.sim.scenarios import OURS, Outcome
from bench.sim.targets import Table

COLOURS = {
    "fifo": "#999999", "best-effort": "#56b4e9", "strict": "#56b4e9", "easy": "#e69f00", "easy-sjf": "#f0e442",
    "slurm": "#cc79a7", "growing": "#d55e00", OURS: "#009e73",
}  # fmt: skip
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""


def draw(table: Table, folder: Path) -> list[Path]:
    """All plots that the outcomes allow; answers the files. Raises ModuleNotFoundError without matplotlib."""
    import matplotlib as mpl  # noqa: PLC0415  nothing else of the benchmark needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    files: list[Path] = []
    plots: dict[str, Callable[[Table, Any], None]] = {
        "mean-wait": _by_load("mean", "mean wait, minutes"),
        "whole-node-wait": _by_load("whole_nodes", "mean wait of whole-node jobs, minutes"),
        "wait-cdf": _distribution,
        "urgent-under-sweep": _urgent,
    }
    for name, plot in plots.items():
        figure, axes = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
        plot(table, axes)
        for kind in ("png", "svg"):
            files.append(folder / f"sim-{name}.{kind}")
            figure.savefig(files[-1], dpi=120, metadata={"Date": None} if kind == "svg" else None)
        plt.close(figure)
    return files


def _by_load(metric: str, label: str) -> Callable[[Table, Any], None]:
    def plot(table: Table, axes: Any) -> None:
        for policy in _policies(table, "own"):
            loads = sorted({o.task.load for o in table.outcomes if _is(o, "own", policy)})
            values = [_median([o.metrics[metric] for o in table.of("own", [load], policy)]) for load in loads]
            axes.plot(loads, values, marker="o", label=policy, color=COLOURS[policy])
        axes.set(xlabel="load", ylabel=label, yscale="log")
        axes.legend()

    return plot


def _distribution(table: Table, axes: Any) -> None:
    for policy in _policies(table, "own"):
        outcomes = table.of("own", [1.0], policy)
        if outcomes:
            waits = [_median(list(column)) for column in zip(*(o.waits for o in outcomes), strict=True)]
            shares = [n / (len(waits) - 1) for n in range(len(waits))]
            axes.plot([w + 0.1 for w in waits], shares, label=policy, color=COLOURS[policy])
    axes.set(xlabel="wait at load 1.0, minutes (+ 0.1)", ylabel="share of jobs", xscale="log")
    axes.legend()


def _urgent(table: Table, axes: Any) -> None:
    policies = _policies(table, "sweep")
    waits = [_median([o.metrics["urgent"] for o in table.of("sweep", [0.8], p)]) for p in policies]
    bars = axes.bar(policies, [w + 0.01 for w in waits], color=[COLOURS[p] for p in policies])
    axes.bar_label(bars, [f"{w:.0f}" if w >= 10.0 else f"{w:.1f}" for w in waits])
    axes.set(ylabel="mean wait of urgent jobs, minutes", xlabel="beside an aged sweep", yscale="log")


def _policies(table: Table, scenario: str) -> list[str]:
    return [p for p in COLOURS if any(_is(o, scenario, p) for o in table.outcomes)]


def _is(outcome: Outcome, scenario: str, policy: str) -> bool:
    task = outcome.task
    return (task.scenario, task.policy, task.error) == (scenario, policy, "right")


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
