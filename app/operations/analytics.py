"""What the service has measured in a stretch of time, over ports: read from rollups, never from single runs but few.

Everything is bounded: some hundred rollups for a window and three thousand for a series, the examples of the failures
that are shown, and the newest runs that tell of memory. What is added up takes tens of milliseconds, so it is done in a
thread: nobody else's request waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.analytics.breakdown import EVERYONE, Breakdown, sum_up
from app.domain.analytics.failure_counts import OTHER, Seen, most_frequent
from app.domain.analytics.needs import Need, Review, review
from app.domain.analytics.rollups import Gauge, Rollup, sum_gauges
from app.domain.analytics.series import SAMPLED, Plot, Series, floor_to, plot, series_of
from app.domain.analytics.windows import Period, Span, coarsest_of, cover, period_of, step_of, window_of
from app.domain.calibration import Tally
from app.domain.records import RunSummary
from app.services import Services

MOST_FAILURES = 20
MOST_NEEDS = 1_000


@dataclass(frozen=True, slots=True)
class Overview:
    """Of a period: runs, what was seen, the most frequent failures with an example of each by run, how well memory was
    allocated, and the service's own start estimates. `settled`: until when nothing is missing."""

    period: Period
    settled: datetime | None
    runs: Breakdown
    gauges: Mapping[str, Gauge]
    failures: Mapping[str, Seen]
    examples: Mapping[str, RunSummary]
    needs: Sequence[Need]
    review: Review
    estimates: Tally


@dataclass(frozen=True, slots=True)
class Timeline:
    """Series over a period."""

    period: Period
    settled: datetime | None
    step: timedelta
    series: Sequence[Series]
    plot: Plot


async def overview(services: Services, window: str, tenant: str | None) -> Overview:
    """The window that ends now, of one tenant or of all; queue, nodes and estimates are always those of all. Raises
    Invalid for what is no window."""
    period = period_of(window_of(window), services.clock.now())
    settled = await services.rollups.settled()
    rollups, needs, calibration = await asyncio.gather(
        _of(services, cover(period, settled), tenant),
        services.runs.needs(period.start, tenant, MOST_NEEDS),
        services.scheduler.calibration(),
    )
    runs, gauges = rollups
    failures = most_frequent(runs.failures, MOST_FAILURES)
    examples = await services.runs.get_many(seen.run for name, seen in failures.items() if name != OTHER)
    judged = await asyncio.to_thread(review, needs)
    return Overview(period, settled, runs, gauges, failures, examples, needs, judged, calibration.tally)


async def _of(services: Services, spans: Sequence[Span], tenant: str | None) -> tuple[Breakdown, dict[str, Gauge]]:
    """The runs of a tenant or of all, and what was seen."""
    everyone = await services.rollups.read(spans, EVERYONE, SAMPLED, totals=tenant is not None)
    of_tenant = everyone if tenant is None else await services.rollups.read(spans, tenant)
    return await asyncio.to_thread(_added_up, of_tenant), sum_gauges(rollup.gauges for rollup in everyone)


def _added_up(rollups: Sequence[Rollup]) -> Breakdown:
    runs = sum_up(rollup.runs for rollup in rollups)
    runs.bound()
    return runs


async def timeline(services: Services, metrics: str | None, window: str, step: str | None) -> Timeline:
    """These series, separated by commas. Raises Invalid for unknown ones, naming the nearest, and for a window or a
    step that cannot be."""
    series, length = series_of(metrics), window_of(window)
    distance = step_of(step, length)
    now, settled = services.clock.now(), await services.rollups.settled()
    period = Period(floor_to(now - length, distance), now)
    rollups = await _rollups(services, series, period, settled, distance)
    values = await asyncio.to_thread(plot, series, rollups, period.start, period.end, distance)
    return Timeline(period, settled, distance, series, values)


async def _rollups(
    services: Services, series: Sequence[Series], period: Period, settled: datetime | None, step: timedelta
) -> list[Rollup]:
    sampled = [each.name for each in series if each.of_runs is None]
    return await services.rollups.read(cover(period, settled, coarsest_of(step)), EVERYONE, sampled, totals=True)
