"""What early stopping makes of the values that trials have reported: which rungs they reached, and which must stop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from app.domain.records import MetricPoint
from app.domain.sweeps.asha import EarlyStopping, goes_on
from app.domain.sweeps.trials import Trial

Told = Mapping[int, Sequence[MetricPoint]]
"""What trials told of the objective, by their numbers: points, ascending."""


class Arrival(NamedTuple):
    """A trial's first value at or beyond a rung that it had not reached before."""

    at: datetime
    number: int
    rung: int
    value: float


def judge(stopping: EarlyStopping, trials: Sequence[Trial], told: Told, *, maximize: bool) -> list[Trial]:
    """The trials that reached rungs, with what is to be recorded of them: `rungs`, and `stopped_at` where one that goes
    on was not among the best. They are judged in the order in which they arrived."""
    seen: dict[int, list[float]] = defaultdict(list)
    for trial in trials:
        for rung, value in trial.rungs.items():
            seen[rung].append(value)
    now = {trial.number: trial for trial in trials}
    for arrival in sorted(a for t in trials for a in _arrivals(stopping, t, told.get(t.number, ()))):
        trial = now[arrival.number]
        if trial.stopped_at is not None:
            continue
        stops = not goes_on(arrival.value, seen[arrival.rung], stopping.eta, maximize=maximize)
        seen[arrival.rung].append(arrival.value)
        rungs = {**trial.rungs, arrival.rung: arrival.value}
        stopped_at = arrival.rung if stops and trial.end is None else None
        now[trial.number] = replace(trial, rungs=rungs, stopped_at=stopped_at)
    return [now[t.number] for t in trials if now[t.number] is not t]


def _arrivals(stopping: EarlyStopping, trial: Trial, points: Sequence[MetricPoint]) -> Iterator[Arrival]:
    counted = [(point.n, point) for point in points if point.n is not None]
    reached = max((n for n, _ in counted), default=0)
    for rung in stopping.rungs(reached):
        if rung not in trial.rungs:
            first = next(point for n, point in counted if n >= rung)
            yield Arrival(first.at, trial.number, rung, first.value)
