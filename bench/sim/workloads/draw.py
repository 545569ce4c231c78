"""Distributions that the workloads share."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from math import erf, exp, log, sqrt
from random import Random
from typing import TypeVar

from app.domain.resources import Vector
from bench.sim.jobs import Kind, timeout_for

T = TypeVar("T")

Z90 = 1.2816
"""Of the standard normal distribution, the point that nine in ten stay below."""
INSIDE = 0.6
"""Sigma of the logarithm of run times inside a family (the design's)."""


def weighted(random: Random, weights: dict[T, float]) -> Callable[[], T]:
    """Draws keys by their weights."""
    keys, sums = list(weights), list(accumulate(weights.values()))
    return lambda: keys[min(bisect_left(sums, random.random() * sums[-1]), len(keys) - 1)]


def quotas(random: Random, shares: dict[T, float], count: int) -> list[T]:
    """`count` values in which each has its share, as nearly as whole numbers can, in random order."""
    bounds = [round(count * s / sum(shares.values())) for s in accumulate(shares.values())]
    parts = zip(shares, [0, *bounds], bounds, strict=False)
    values = [value for value, low, high in parts for _ in range(high - low)]
    random.shuffle(values)
    return values


def spread(random: Random, low: float, high: float, count: int) -> list[float]:
    """`count` values spread evenly over the logarithms from low to high, in random order."""
    values = [low * (high / low) ** ((n + random.random()) / count) for n in range(count)]
    random.shuffle(values)
    return values


def capped_mean(median: float, sigma: float, cap: float) -> float:
    """The mean of min(X, cap) for a log-normal X: exp(µ + σ²/2)·Φ(z − σ) + cap·(1 − Φ(z)), z = ln(cap / median) / σ."""
    z = log(cap / median) / sigma
    return median * exp(sigma * sigma / 2.0) * _phi(z - sigma) + cap * (1.0 - _phi(z))


@cache
def sigma_for(median: float, mean: float, cap: float) -> float:
    """The sigma with which a log-normal of that median, cut at `cap`, has that mean; by bisection."""
    low, high = 0.01, 6.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if capped_mean(median, middle, cap) < mean else (low, middle)
    return (low + high) / 2.0


def family(vector: Vector, median: float, sigma: float = INSIDE) -> Kind:
    """A kind of job whose run time is log-normal: what is expected of it, and the limit that its owner set."""
    longest = timeout_for(median * exp(3.3 * sigma))
    mean = min(longest, median * exp(sigma * sigma / 2.0))
    return Kind(vector, mean, min(longest, median * exp(Z90 * sigma)), longest)


def unknown(vector: Vector, seconds: float) -> Kind:
    """A kind that never ran before: nothing is known but its time limit, some times what it needs."""
    limit = timeout_for(3.0 * seconds)
    return Kind(vector, limit, limit, limit)


def zipf(count: int, exponent: float) -> list[float]:
    """Weights 1 / rank^exponent."""
    return [rank**-exponent for rank in range(1, count + 1)]


@cache
def zipf_exponent(count: int, top: float, share: float) -> float:
    """The exponent with which the `top` fraction of `count` has that share of the weight; by bisection."""
    low, high = 0.01, 4.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if top_share(zipf(count, middle), top) < share else (low, middle)
    return (low + high) / 2.0


def top_share(values: Sequence[float], top: float) -> float:
    """The share of the sum that the largest `top` fraction has."""
    ordered = sorted(values, reverse=True)
    return sum(ordered[: round(top * len(ordered))]) / sum(ordered)


def _phi(z: float) -> float:
    return 0.5 * (1.0 + erf(z / sqrt(2.0)))
