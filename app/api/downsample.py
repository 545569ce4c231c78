"""Thin out a series so that its plot looks the same: of each stretch the lowest and the highest point stay. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.records import MetricPoint


def downsample(points: Sequence[MetricPoint], most: int) -> list[MetricPoint]:
    """At most `most` (≥ 2) of the points in their order; the first and the last always stay."""
    if len(points) <= most:
        return list(points)
    inner = points[1:-1]
    stretches = (most - 2) // 2
    kept = [points[0]]
    for n in range(stretches):
        stretch = inner[n * len(inner) // stretches : (n + 1) * len(inner) // stretches]
        values = [point.value for point in stretch]
        kept += [stretch[place] for place in sorted({values.index(min(values)), values.index(max(values))})]
    return [*kept, points[-1]]
