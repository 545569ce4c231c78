"""What the service has measured in a stretch of time, over ports: read from rollups, never from single runs but few.

Everything is bounded: some hundred rollups at most, the examples of the failures that are shown, and the newest runs
that tell of memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.analytics.cells import OTHER, Cell, Kind, Seen, most_frequent, sum_of
from app.domain.analytics.figures import of_tenant
from app.domain.analytics.needs import Need, Review, review
from app.domain.analytics.rollups import DAY, HOUR, Gauge, Grain, Rollup, sum_gauges
from app.domain.analytics.series import SAMPLED, Plot, Series, floor_to, plot, series_of
from app.domain.analytics.windows import Period, cover, period_of, step_of, window_of
from app.domain.calibration import Tally
from app.domain.records import RunSummary
from app.services import Services

MOST_FAILURES = 20
MOST_NEEDS = 2_000


@dataclass(frozen=True, slots=True)
class Overview:
    """Of a period: runs by kind and in all, what was seen, the most frequent failures with an example of each by run,
    how well memory was allocated, and the service's own start estimates. `settled`: until when nothing is missing."""

    period: Period
    settled: datetime | None
    cells: Mapping[Kind, Cell]
    total: Cell
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
    spans = cover(period, settled)
    rollups, needs, calibration = await asyncio.gather(
        services.rollups.read(spans, SAMPLED, kinds=True),
        services.runs.needs(period.start, tenant, MOST_NEEDS),
        services.scheduler.calibration(),
    )
    cells = of_tenant([pair for rollup in rollups for pair in rollup.cells.items()], tenant)
    total = sum_of(cells.values())
    failures = most_frequent(total.failures, MOST_FAILURES)
    examples = await services.runs.get_many(seen.run for name, seen in failures.items() if name != OTHER)
    gauges = sum_gauges(rollup.gauges for rollup in rollups)
    judged = review(needs)
    return Overview(period, settled, cells, total, gauges, failures, examples, needs, judged, calibration.tally)


async def timeline(services: Services, metrics: str | None, window: str, step: str | None) -> Timeline:
    """These series, separated by commas. Raises Invalid for unknown ones, naming the nearest, and for a window or a
    step that cannot be."""
    series, length = series_of(metrics), window_of(window)
    distance = step_of(step, length)
    now, settled = services.clock.now(), await services.rollups.settled()
    period = Period(floor_to(now - length, distance), now)
    rollups = await _rollups(services, series, period, settled, distance)
    return Timeline(period, settled, distance, series, plot(series, rollups, period.start, period.end, distance))


async def _rollups(
    services: Services, series: Sequence[Series], period: Period, settled: datetime | None, step: timedelta
) -> list[Rollup]:
    """The coarsest of which none lies in two steps."""
    coarsest = Grain.DAY if not step % DAY else Grain.HOUR if not step % HOUR else Grain.MINUTE
    sampled = [each.name for each in series if each.of_runs is None]
    return await services.rollups.read(cover(period, settled, coarsest), sampled, kinds=False)
