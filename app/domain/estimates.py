"""Estimated starts: a table from place in the queue to time, with a low and a high bound.

The scheduler's leader makes the table by a forward pass (`app.scheduler.forecast`); anybody reads it by interpolation.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.domain.calibration import UNLEARNED, Announcement, Factors, window
from app.domain.priority import Priority


@dataclass(frozen=True, slots=True)
class Estimate:
    """When a job should start: `low ≤ start ≤ high`."""

    start: datetime
    low: datetime
    high: datetime


@dataclass(frozen=True, slots=True)
class Forecast:
    """Points (place in the bucket, 1 = its head; seconds after `at`), ascending, per bucket id.

    `pace`: seconds from one start to the next over the whole queue, for places beyond any table; `windows`: what was
    learned of how wrong estimates are; `mean_waits`: seconds by class over the last hour.
    """

    at: datetime
    buckets: Mapping[str, tuple[tuple[int, float], ...]]
    pace: float
    windows: Factors = UNLEARNED
    mean_waits: Mapping[Priority, float] = field(default_factory=dict)


def start_estimate(forecast: Forecast, bucket_id: str, place: int, position: int, now: datetime) -> Estimate:
    """The estimate for the job at `place` of its bucket and `position` of the whole queue, never before `now`."""
    seconds = seconds_until(forecast, bucket_id, place, position)
    start = max(now, forecast.at + timedelta(seconds=seconds))
    low, high = window((start - now).total_seconds(), forecast.windows)
    return Estimate(start, now + timedelta(seconds=low), now + timedelta(seconds=high))


def seconds_until(forecast: Forecast, bucket_id: str, place: int, position: int) -> float:
    """From the forecast on, until the job at `place` of its bucket and `position` of the whole queue should start."""
    points = forecast.buckets.get(bucket_id)
    return _interpolate(points, place, forecast.pace) if points else max(0, position - 1) * forecast.pace


def announcement(estimate: Estimate, forecast: Forecast, priority: Priority, now: datetime) -> Announcement:
    """What an estimate says, to be scored when the job starts."""
    start, low, high = ((t - now).total_seconds() for t in (estimate.start, estimate.low, estimate.high))
    return Announcement(priority, now.timestamp(), start, low, high, forecast.mean_waits.get(priority, 0.0))


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
