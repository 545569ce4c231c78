"""Series for plots: their names, and their values in steps of equal length.

Three sorts: what was seen once a minute of the queue and the nodes (the mean over a step), what ended (the number),
and what finished runs say (percentiles and rates). A value is None where nothing is known: for what was seen, when no
leader looked; for the number of what ended, when nobody watched either; for the others, when no run ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from app.domain.analytics.cells import Cell, sum_of
from app.domain.analytics.figures import WAITING, success_rate
from app.domain.analytics.histograms import Histogram, quantile
from app.domain.analytics.rollups import Rollup, sum_gauges
from app.domain.errors import FieldError, Invalid
from app.domain.explain import WAIT_CODES
from app.domain.nearest import unknown_name
from app.domain.priority import Priority
from app.domain.resources import DIMENSIONS
from app.domain.states import JobStatus

MOST_SERIES = 20
MEASURED = ("cpu_cores", "memory_gb")
"""Resources whose use is measured."""
Value = float | None
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Series:
    """One that may be asked for. `of_runs`: its value from the runs of a step; None for what is sampled."""

    name: str
    unit: str
    text: str
    of_runs: Callable[[Cell], Value] | None = None


@dataclass(frozen=True, slots=True)
class Plot:
    """Series over equal steps: the beginning of each, and by series a value for each."""

    times: tuple[datetime, ...]
    values: Mapping[str, tuple[Value, ...]]


def series_of(names: str | None) -> list[Series]:
    """Those named, separated by commas; those of `DEFAULT` without any. Raises Invalid, naming the nearest of each that
    is unknown, and for too many."""
    if not names:
        return [CATALOGUE[name] for name in DEFAULT]
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in wanted if name not in CATALOGUE]
    if unknown:
        raise Invalid(FieldError("metrics", *unknown_name("metric", name, CATALOGUE)) for name in unknown[:MOST_SERIES])
    if not 1 <= len(wanted) <= MOST_SERIES:
        raise Invalid.one("metrics", f"must name 1 to {MOST_SERIES} metrics, got {len(wanted)}")
    return [CATALOGUE[name] for name in wanted]


def plot(series: Sequence[Series], rollups: Iterable[Rollup], start: datetime, end: datetime, step: timedelta) -> Plot:
    """The series in steps from `start`, a whole number of steps since 1970, until `end`; the last may be cut short."""
    times = tuple(start + n * step for n in range(-((start - end) // step)))
    groups: dict[datetime, list[Rollup]] = {}
    for rollup in rollups:
        groups.setdefault(floor_to(rollup.at, step), []).append(rollup)
    columns = [_values(series, groups.get(at, [])) for at in times]
    return Plot(times, {s.name: tuple(column[n] for column in columns) for n, s in enumerate(series)})


def floor_to(at: datetime, step: timedelta) -> datetime:
    """The last whole number of steps since 1970."""
    return at - (at - _EPOCH) % step


def _values(series: Sequence[Series], rollups: Sequence[Rollup]) -> list[Value]:
    if not rollups:
        return [None] * len(series)
    gauges = sum_gauges(rollup.gauges for rollup in rollups)
    cell = rollups[0].runs.total if len(rollups) == 1 else sum_of(rollup.runs.total for rollup in rollups)
    return [
        s.of_runs(cell) if s.of_runs is not None else gauges[s.name].mean if s.name in gauges else None for s in series
    ]


def _ended(*states: JobStatus) -> Callable[[Cell], Value]:
    return lambda cell: float(sum(cell.ended.get(status.value, 0) for status in states))


def _quantiles(of: str, noun: str, take: Callable[[Cell], Histogram]) -> Iterable[Series]:
    for percent in (50, 90, 99):
        text = f"{noun} of runs that ended: {percent} of 100 stay below, within 5 %."
        yield Series(f"{of}_p{percent}", "seconds", text, partial(_quantile, take, percent / 100))


def _quantile(take: Callable[[Cell], Histogram], q: float, cell: Cell) -> Value:
    return quantile(take(cell), q)


def _catalogue() -> Iterable[Series]:
    yield Series("queue_length", "jobs", "Jobs in state QUEUED.")
    for p in Priority:
        yield Series(f"queue_length_{p}", "jobs", f"Jobs in state QUEUED of the effective class {p}.")
    for name, text in _STATES.items():
        yield Series(name, "jobs", text)
    yield Series("oldest_wait", "seconds", "How long the job has waited that is queued longest.")
    for p in Priority:
        yield Series(f"oldest_wait_{p}", "seconds", f"The same of the effective class {p}.")
    for code in WAIT_CODES:
        yield Series(f"{WAITING}{code}", "jobs", f"Jobs that wait, and for which `{code}` decides.")
    yield Series("ready_nodes", "nodes", "Nodes that take work.")
    for name in DIMENSIONS:
        yield Series(f"{name}_capacity", name, f"`{name}` of all nodes that are not lost.")
        yield Series(f"{name}_allocated", name, f"`{name}` that runs hold.")
        if name in MEASURED:
            yield Series(f"{name}_used", name, f"`{name}` that runs use, as their nodes measure it.")
    yield Series("completed_jobs", "jobs", "Jobs that became COMPLETED.", _ended(JobStatus.COMPLETED))
    yield Series("failed_jobs", "jobs", "Jobs that a run ended FAILED or TIMEOUT.", _ended(*_UNHAPPY))
    yield Series("cancelled_jobs", "jobs", "Jobs that were cancelled in a run.", _ended(JobStatus.CANCELLED))
    yield Series("ended_runs", "runs", "Runs that ended, however.", lambda cell: float(cell.runs))
    yield Series("failed_runs", "runs", "Runs that failed, also where a retry followed.", lambda c: float(c.failed))
    yield Series("success_rate", "fraction", "Completed jobs, of those that ended by themselves.", success_rate)
    yield from _quantiles("wait", "Time from queued to started", lambda cell: cell.waits)
    yield from _quantiles("run", "Time from start to end", lambda cell: cell.times)


_UNHAPPY = (JobStatus.FAILED, JobStatus.TIMEOUT)
_STATES = {
    "running_jobs": "Jobs in state RUNNING.",
    "scheduled_jobs": "Jobs in state SCHEDULED.",
    "pending_jobs": "Accepted but not eligible: SUBMITTED and RETRYING.",
    "paused_jobs": "Jobs in state PAUSED.",
}
CATALOGUE: Mapping[str, Series] = {series.name: series for series in _catalogue()}
SAMPLED = tuple(series.name for series in CATALOGUE.values() if series.of_runs is None)
"""Names of what is seen once a minute."""
DEFAULT = (
    "queue_length", "running_jobs", "oldest_wait", "completed_jobs", "failed_jobs", "wait_p50", "wait_p90",
    "cpu_cores_capacity", "cpu_cores_allocated", "cpu_cores_used",
)  # fmt: skip
