"""Histograms of durations that can be added, with a known error: any quantile is within 5 % of the exact one.

The bounds of the buckets grow by one ratio, γ = (1 + α) / (1 − α), and a bucket stands for the value that is as far, in
parts of itself, from both its bounds: DDSketch (Masson, Rim and Lee, VLDB 2019). What takes a millisecond or less is in
bucket 0, and counts as nothing. A histogram is a dictionary of bucket and count, with what occurred only.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log

ACCURACY = 0.05
"""α: the largest relative error of a quantile."""
LEAST = 0.001
"""Seconds."""
_RATIO = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_RATIO = log(_RATIO)

Histogram = dict[int, int]


def bucket_of(seconds: float) -> int:
    """The bucket of a duration; 0 for the shortest, and for what cannot be: a negative one."""
    return 0 if seconds <= LEAST else ceil(log(seconds / LEAST) / _LOG_RATIO)


def value_of(bucket: int) -> float:
    """What a bucket stands for, in seconds."""
    return 0.0 if bucket == 0 else LEAST * 2 * _RATIO**bucket / (_RATIO + 1)


def quantile(histogram: Mapping[int, int], q: float) -> float | None:
    """The value of rank ⌈q·n⌉ (the lowest one for q = 0), None where nothing was counted."""
    rank = max(1, ceil(q * sum(histogram.values())))
    for bucket in sorted(histogram):
        rank -= histogram[bucket]
        if rank <= 0:
            return value_of(bucket)
    return None


def add(into: Histogram, other: Mapping[int, int]) -> None:
    """Count the other's too."""
    known = into.get
    for bucket, count in other.items():
        into[bucket] = known(bucket, 0) + count
