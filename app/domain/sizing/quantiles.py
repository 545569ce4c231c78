"""Quantiles of runs of which newer ones weigh more, so that they hold for few runs too, and err upwards.

The rank is that of weighted split conformal prediction: the run to come counts as one more, of the largest weight and
at infinity. What was cut short is known to be at least something; it is taken for no less than what the others say.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from datetime import datetime

HALF_LIFE_RUNS = 50.0
HALF_LIFE_DAYS = 30.0

Weighted = tuple[float, float]
"""A value and its weight."""


def weight(runs_since: int, at: datetime, now: datetime) -> float:
    """Of a run, after which there were so many others: half of it is gone after 50 of them, and after 30 days."""
    days = max(0.0, (now - at).total_seconds() / 86_400)
    return float(0.5 ** (runs_since / HALF_LIFE_RUNS + days / HALF_LIFE_DAYS))


def quantile(values: Sequence[Weighted], q: float) -> float:
    """The smallest value whose weight, with all below it, reaches `q` of the whole weight and the largest once more;
    the largest value when none does. `values`: ascending, at least one."""
    wanted = q * (sum(w for _, w in values) + max(w for _, w in values))
    reached = 0.0
    for value, each in values:
        reached += each
        if reached >= wanted:
            return value
    return values[-1][0]


def with_cut_short(values: Iterable[Weighted], cut: Iterable[Weighted], q: float) -> list[Weighted]:
    """All of them, ascending. `cut`: lower bounds, oldest first; each counts as no less than the `q` quantile of what
    came before it, so that a further one never lowers that quantile."""
    known = sorted(values)
    for bound, each in cut:
        insort(known, (max(bound, quantile(known, q)) if known else bound, each))
    return known


def exceeding(values: Sequence[Weighted], bound: float) -> float:
    """How probable it is at most that the next value exceeds the bound (0 to 1), by the same rank."""
    largest = max(w for _, w in values)
    return (sum(w for value, w in values if value > bound) + largest) / (sum(w for _, w in values) + largest)
