"""The objective of a trial, and the leaderboard.

A trial's value is the best over its steps of the last value told for that step; values without a step are one step, and
so is what the run's outputs say where no metric has the objective's name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from app.domain.json import Json
from app.domain.records import MetricPoint
from app.domain.sweeps.sweep import Sweep
from app.domain.sweeps.trials import Trial

Best = tuple[float, int | None]
"""A value and the step at which it was told, where it was told with one."""


def best_point(sweep: Sweep, points: Iterable[MetricPoint], outputs: Mapping[str, Json]) -> Best | None:
    """The value of the objective and its step. `points` of the objective, ascending; `outputs` of all steps, merged."""
    last: dict[int | None, float] = {}
    for point in points:
        if math.isfinite(point.value):
            last[point.n] = point.value
    said = outputs.get(sweep.objective)
    if not last and isinstance(said, int | float) and not isinstance(said, bool) and math.isfinite(said):
        return float(said), None
    return _best(sweep, last.items())


def best_rung(sweep: Sweep, rungs: Mapping[int, float]) -> Best | None:
    """The best value at a rung, and the rung."""
    return _best(sweep, rungs.items())


def _best(sweep: Sweep, told: Iterable[tuple[int | None, float]]) -> Best | None:
    best: Best | None = None
    for step, value in told:
        if best is None or sweep.better(value, best[0]):
            best = value, step
    return best


def ranked(sweep: Sweep, trials: Iterable[Trial]) -> list[Trial]:
    """Those with a value, the best first; ties by fewer cluster-seconds, then by the job's id. Then those that have not
    ended, then those that ended without a value, by number."""
    return sorted(trials, key=lambda trial: _place(sweep, trial))


def best_of(sweep: Sweep, trials: Sequence[Trial]) -> Trial | None:
    """The first of the leaderboard, if it has a value."""
    best = min(trials, key=lambda trial: _place(sweep, trial), default=None)
    return best if best is not None and best.end is not None and best.end.value is not None else None


def _place(sweep: Sweep, trial: Trial) -> tuple[int, float, float, str]:
    end = trial.end
    if end is None:
        return 1, trial.number, 0.0, trial.job_id
    if end.value is None:
        return 2, trial.number, 0.0, trial.job_id
    return 0, -end.value if sweep.maximize else end.value, end.cluster_seconds, trial.job_id
