"""Figures of a cell: rates, percentiles, what was allocated beside what was used. None where nothing is known."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.analytics.cells import COUNTED, Cell
from app.domain.analytics.histograms import Histogram, quantile
from app.domain.analytics.rollups import Gauges
from app.domain.resources import DIMENSIONS, SCALES
from app.domain.states import JobStatus

AN_HOUR = 3_600.0
SAMPLED_SECONDS = 60.0
"""How far apart two samples of a gauge are."""
WAITING = "waiting_"
"""What the name of a gauge begins with that counts waiting jobs by the reason that decides."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of durations in seconds; the quantiles within 5 %, the mean exact."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Use:
    """Of one resource over finished runs: what was allocated to them (core hours, GB hours, …), what they used of it,
    and `share`, over the runs that were measured. Both None for a resource whose use nobody measures."""

    allocated: float
    used: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class Pool:
    """Of one resource over the samples of the nodes: means, in units people use; `utilization` is the share of the
    capacity that was allocated. None without a sample."""

    capacity: float | None
    allocated: float | None
    used: float | None
    utilization: float | None


@dataclass(frozen=True, slots=True)
class Waited:
    """How much of all waiting a reason decided: the sum over jobs in seconds, the share, and jobs at a time."""

    reason: str
    seconds: float
    share: float
    jobs: float


def percentiles(histogram: Histogram, total: float, count: int) -> Percentiles:
    """`total`: the exact sum of all `count` values."""
    p50, p90, p99 = (quantile(histogram, q) for q in (0.5, 0.9, 0.99))
    return Percentiles(total / count if count else None, p50, p90, p99)


def waits_of(cell: Cell) -> Percentiles:
    return percentiles(cell.waits, cell.wait_seconds, cell.runs)


def times_of(cell: Cell) -> Percentiles:
    return percentiles(cell.times, cell.run_seconds, cell.runs)


def decided(cell: Cell) -> int:
    """Jobs that ended, and not by a user."""
    return sum(cell.ended.get(status.value, 0) for status in COUNTED)


def completed(cell: Cell) -> int:
    return cell.ended.get(JobStatus.COMPLETED.value, 0)


def success_rate(cell: Cell) -> float | None:
    """Completed jobs, of those that ended by themselves."""
    return completed(cell) / decided(cell) if decided(cell) else None


def retry_rate(cell: Cell) -> float | None:
    """Jobs that needed more than one attempt, of those that ended by themselves."""
    return cell.retried / decided(cell) if decided(cell) else None


def completion_time(cell: Cell) -> float | None:
    """Mean seconds from the submission to the end of completed jobs."""
    return cell.completion_seconds / completed(cell) if completed(cell) else None


def killed_rate(cell: Cell) -> float | None:
    """Runs ended for want of memory, of these and the completed ones."""
    killed = cell.outcomes.get("out_of_memory", 0)
    told = killed + cell.outcomes.get("completed", 0)
    return killed / told if told else None


def uses(cell: Cell) -> dict[str, Use]:
    """By resource."""
    measured = {
        "cpu_cores": (cell.cpu_used, cell.cpu_asked),
        "memory_gb": (cell.memory_used / 1024, cell.memory_asked / 1024),
    }
    found = {}
    for n, (name, scale) in enumerate(zip(DIMENSIONS, (1, *SCALES[1:]), strict=True)):
        used, of = measured.get(name, (None, 0.0))
        share = used / of if used is not None and of else None
        found[name] = Use(cell.asked[n] / scale / AN_HOUR, None if used is None else used / AN_HOUR, share)
    return found


def pools(gauges: Gauges) -> dict[str, Pool]:
    """By resource."""
    return {name: _pool(gauges, name) for name in DIMENSIONS}


def _pool(gauges: Gauges, name: str) -> Pool:
    capacity, allocated, used = (
        gauges[key].mean if (key := f"{name}_{what}") in gauges else None for what in ("capacity", "allocated", "used")
    )
    share = allocated / capacity if capacity and allocated is not None else None
    return Pool(capacity, allocated, used, share)


def waited(gauges: Gauges) -> list[Waited]:
    """By reason, what decided most first. Reasons are sampled once a minute, and stand for the whole of it."""
    known = {name.removeprefix(WAITING): gauge for name, gauge in gauges.items() if name.startswith(WAITING)}
    whole = sum(gauge.total for gauge in known.values())
    found = [
        Waited(reason, SAMPLED_SECONDS * gauge.total, gauge.total / whole, gauge.mean)
        for reason, gauge in known.items()
        if gauge.total
    ]
    return sorted(found, key=lambda w: (-w.seconds, w.reason))
