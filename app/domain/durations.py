"""How long a job should take: from runs like it, else its time limit.

The runs are those of the finest group that has enough of them: same tenant, template, algorithm and data set; then
without the data set; then of any tenant; then of the algorithm alone. Recent runs weigh more. Quantiles are weighted
conformal ranks, so that they hold for few runs too, and err upwards: too long an expectation is harmless, too short
a one makes large jobs wait (`docs/scheduling.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

ENOUGH = 5
"""Runs from which on quantiles are told."""
LATEST = 100
HALF_LIFE_RUNS = 50.0
HALF_LIFE_DAYS = 30.0
FEW_MARGIN = 1.3
"""Over the longest of few runs: the cautious expectation."""
CENSORED = 1.5
"""A run that met its time limit would have taken at least so many times as long."""


@dataclass(frozen=True, slots=True)
class Kinship:
    """By what runs are alike."""

    tenant: str
    template: str
    algorithm: str | None
    dataset: str | None


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run that ended: how long it took (seconds), how, and when."""

    kin: Kinship
    seconds: float
    outcome: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds: `median`, `mean`, and `cautious`, below which nine in ten stay. `source`: `history` or `timeout`;
    `group`: which runs, `runs` how many."""

    median: float
    mean: float
    cautious: float
    source: str
    group: str | None = None
    runs: int = 0


TELLING = ("completed", "timeout")
"""Outcomes that tell something of durations; a run that was cancelled, lost or failed tells nothing."""
Group = Callable[[Kinship], tuple[str | None, ...]]
GROUPS: tuple[tuple[str, Group], ...] = (
    ("tenant, template, algorithm, dataset", lambda k: (k.tenant, k.template, k.algorithm, k.dataset)),
    ("tenant, template, algorithm", lambda k: (k.tenant, k.template, k.algorithm)),
    ("template, algorithm", lambda k: (k.template, k.algorithm)),
    ("algorithm", lambda k: (k.algorithm,)),
)
"""From fine to coarse."""


def expected(kin: Kinship, runs: Iterable[PastRun], timeout: float, now: datetime) -> Duration:
    """What a job of that kind should take, never more than its time limit. `runs` may hold others than its kind's."""
    useful = sorted((r for r in runs if _seconds(r) is not None), key=lambda r: r.at, reverse=True)
    few: Duration | None = None
    for name, group in GROUPS:
        if name == "algorithm" and kin.algorithm is None:
            continue
        alike = [r for r in useful if group(r.kin) == group(kin)][:LATEST]
        if len(alike) >= ENOUGH:
            return _of_many(name, alike, timeout, now)
        if alike and few is None:
            few = _of_few(name, alike, timeout)
    return few or Duration(timeout, timeout, timeout, "timeout")


def quantile(values: Sequence[tuple[float, float]], q: float) -> float:
    """The smallest value whose weight, with all below it, reaches `q` of the whole weight and the largest once more;
    the largest value when none does. `values`: (value, weight), at least one."""
    ordered = sorted(values)
    wanted = q * (sum(w for _, w in ordered) + max(w for _, w in ordered))
    reached = 0.0
    for value, weight in ordered:
        reached += weight
        if reached >= wanted:
            return value
    return ordered[-1][0]


def _seconds(run: PastRun) -> float | None:
    """What a run tells of durations; None where it tells nothing (it was cancelled, lost, or failed)."""
    if run.outcome == "completed":
        return run.seconds
    return CENSORED * run.seconds if run.outcome == "timeout" else None


def _of_many(group: str, alike: Sequence[PastRun], timeout: float, now: datetime) -> Duration:
    weighted = [(_seconds(r) or 0.0, _weight(n, r, now)) for n, r in enumerate(alike)]
    mean = sum(v * w for v, w in weighted) / sum(w for _, w in weighted)
    median, cautious = quantile(weighted, 0.5), quantile(weighted, 0.9)
    return Duration(min(median, timeout), min(mean, timeout), min(cautious, timeout), "history", group, len(alike))


def _of_few(group: str, alike: Sequence[PastRun], timeout: float) -> Duration:
    """The mean of the last two beats what users say (Tsafrir, Etsion, Feitelson, TPDS 2007)."""
    seconds = [_seconds(r) or 0.0 for r in alike]
    mean = min(sum(seconds[:2]) / len(seconds[:2]), timeout)
    return Duration(mean, mean, min(FEW_MARGIN * max(seconds), timeout), "history", group, len(alike))


def _weight(runs_since: int, run: PastRun, now: datetime) -> float:
    days = max(0.0, (now - run.at).total_seconds() / 86_400)
    return float(0.5 ** (runs_since / HALF_LIFE_RUNS + days / HALF_LIFE_DAYS))
