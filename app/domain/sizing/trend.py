"""A regression of residuals on the logarithms of features, used only where it has shown that it is better.

Ridge regression in closed form over standardised features. It must beat the median of the older runs on the newest
twenty by a tenth. What it foretells stays within what was seen, and what is left of each run is what it would have
left unseen (leave-one-out), so that a curve that follows its points does not look better than it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, median, pstdev

from app.domain.sizing.features import Features

LEAST_RUNS = 30
JUDGED = 20
BETTER = 0.9
STRENGTH = 1.0
MOST_LEVERAGE = 0.9
_LEAST_SPREAD = 1e-9
Seen = tuple[Features, float]
"""The features of a run, and its residual."""
Matrix = list[list[float]]


@dataclass(frozen=True, slots=True)
class Trend:
    """By feature: its mean, its spread and its coefficient; `mean`, `least` and `most` of the residuals; `left`: what
    it leaves of each run that it was made of."""

    terms: Mapping[str, tuple[float, float, float]]
    mean: float
    least: float
    most: float
    left: tuple[float, ...]

    def of(self, features: Features) -> float:
        """The residual to expect."""
        numbers = features.numbers()
        found = self.mean + sum(
            slope * (numbers.get(name, centre) - centre) / spread
            for name, (centre, spread, slope) in self.terms.items()
        )
        return min(max(found, self.least), self.most)


def trend(seen: Sequence[Seen]) -> Trend | None:
    """The trend of these runs, newest first; None where there are too few, all alike, or where it is not better than
    none."""
    if len(seen) < LEAST_RUNS or all(features == seen[0][0] for features, _ in seen):
        return None
    newest, older = seen[:JUDGED], seen[JUDGED:]
    tried = fitted(older)
    middle = median(value for _, value in older)
    without = median(abs(value - middle) for _, value in newest)
    with_it = median(abs(value - tried.of(features)) for features, value in newest)
    return fitted(seen) if with_it < BETTER * without else None


def fitted(seen: Sequence[Seen]) -> Trend:
    """Ridge regression: the smallest Σ (residual − foretold)² + Σ slope². At least one run."""
    values = [value for _, value in seen]
    numbers = [features.numbers() for features, _ in seen]
    names = [name for name in numbers[0] if all(name in row for row in numbers)]
    spreads = {name: (fmean(row[name] for row in numbers), pstdev([row[name] for row in numbers])) for name in names}
    used = [name for name in names if spreads[name][1] > _LEAST_SPREAD]
    rows = [[(row[name] - spreads[name][0]) / spreads[name][1] for name in used] for row in numbers]
    mean = fmean(values)
    lower = _cholesky(rows)
    slopes = _solved(lower, rows, [value - mean for value in values])
    left = tuple(_left(lower, row, value - mean, slopes, len(rows)) for row, value in zip(rows, values, strict=True))
    terms = {name: (*spreads[name], slope) for name, slope in zip(used, slopes, strict=True)}
    return Trend(terms, mean, min(values), max(values), left)


def _cholesky(rows: Matrix) -> Matrix:
    """L of ZᵀZ + λI = L·Lᵀ, which is positive definite."""
    columns = list(zip(*rows, strict=True))
    lower = [[0.0] * len(columns) for _ in columns]
    for i, column in enumerate(columns):
        for j in range(i + 1):
            inner = sum(a * b for a, b in zip(column, columns[j], strict=True)) + (STRENGTH if i == j else 0.0)
            rest = inner - sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = sqrt(rest) if i == j else rest / lower[j][j]
    return lower


def _forth(lower: Matrix, wanted: Sequence[float]) -> list[float]:
    """x of L·x = wanted."""
    found: list[float] = []
    for i, value in enumerate(wanted):
        found.append((value - sum(lower[i][k] * found[k] for k in range(i))) / lower[i][i])
    return found


def _solved(lower: Matrix, rows: Matrix, values: Sequence[float]) -> list[float]:
    """(ZᵀZ + λI)⁻¹ Zᵀy."""
    forth = _forth(
        lower, [sum(a * b for a, b in zip(column, values, strict=True)) for column in zip(*rows, strict=True)]
    )
    back = [0.0] * len(forth)
    for i in reversed(range(len(forth))):
        back[i] = (forth[i] - sum(lower[k][i] * back[k] for k in range(i + 1, len(forth)))) / lower[i][i]
    return back


def _left(lower: Matrix, row: Sequence[float], value: float, slopes: Sequence[float], runs: int) -> float:
    """The residual of a run had it not been among them: r / (1 − h), h its leverage."""
    leverage = sum(part**2 for part in _forth(lower, row)) + 1 / runs
    foretold = sum(slope * part for slope, part in zip(slopes, row, strict=True))
    return (value - foretold) / (1 - min(leverage, MOST_LEVERAGE))
