"""Estimated starts: a table from place in the queue to time, with a low and a high bound.

The scheduler's leader makes the table by a forward pass (`app.scheduler.forecast`); anybody reads it by interpolation.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

SPREAD = 3.0
"""High bound over the estimate, and the estimate over the low bound, until windows are learned."""
UNCERTAIN = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Estimate:
    """When a job should start: `low ≤ start ≤ high`."""

    start: datetime
    low: datetime
    high: datetime


@dataclass(frozen=True, slots=True)
class Forecast:
    """Points (place in the bucket, 1 = its head; seconds after `at`), ascending, per bucket id.

    `pace`: seconds from one start to the next over the whole queue, for places beyond any table.
    """

    at: datetime
    buckets: Mapping[str, tuple[tuple[int, float], ...]]
    pace: float


def start_estimate(forecast: Forecast, bucket_id: str, place: int, position: int, now: datetime) -> Estimate:
    """The estimate for the job at `place` of its bucket and `position` of the whole queue, never before `now`."""
    points = forecast.buckets.get(bucket_id)
    seconds = _interpolate(points, place, forecast.pace) if points else max(0, position - 1) * forecast.pace
    start = max(now, forecast.at + timedelta(seconds=seconds))
    ahead = start - now
    return Estimate(start, now + ahead / SPREAD, now + ahead * SPREAD + UNCERTAIN)


def _interpolate(points: tuple[tuple[int, float], ...], place: int, pace: float) -> float:
    at = bisect_left(points, (place, 0.0))
    if at < len(points) and points[at][0] == place:
        return points[at][1]
    if at == 0:
        return points[0][1]
    if at == len(points):
        last_place, last = points[-1]
        return last + (place - last_place) * pace
    (p0, s0), (p1, s1) = points[at - 1], points[at]
    return s0 + (s1 - s0) * (place - p0) / (p1 - p0)
