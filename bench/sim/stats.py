"""Medians over seeds, and how sure they are: percentile bootstrap intervals of paired values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import median

RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Interval:
    """The median over seeds, and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g}–{self.high:.3g})"


def interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Of one value a seed. For ratios each is already paired: both policies ran on the same jobs of that seed."""
    random = Random(seed)
    medians = sorted(median(random.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return Interval(median(values), medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1], len(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours over theirs, seed by seed; 1 where both are 0."""
    return [a / b if b else (1.0 if not a else float("inf")) for a, b in zip(ours, theirs, strict=True)]
