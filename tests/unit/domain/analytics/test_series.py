"""Series: names, what their values are, and where there is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.analytics.breakdown import EVERYONE
from app.domain.analytics.cells import Cell
from app.domain.analytics.rollups import HOUR, MINUTE, Gauge, Grain, Rollup, rolled_up, rollups_of
from app.domain.analytics.series import CATALOGUE, DEFAULT, MOST_SERIES, SAMPLED, floor_to, plot, series_of
from app.domain.errors import Invalid
from tests.support.breakdowns import breakdowns_of
from tests.support.clock import NOON
from tests.unit.domain.analytics.builders import a_failed_run, a_run, minutes


def minute(n: int, *runs: Any, **gauges: float) -> Rollup:
    seen = {name: Gauge(value) for name, value in gauges.items()}
    made = rollups_of(Grain.MINUTE, NOON + minutes(n), breakdowns_of(runs), len(runs))[0]
    return replace(made, gauges=seen)


def values(names: str, rollups: list[Rollup], step: timedelta = 5 * MINUTE, steps: int = 3) -> list[Any]:
    series = series_of(names)
    found = plot(series, rollups, NOON, NOON + steps * step, step)
    assert len(found.times) == steps
    return [list(found.values[s.name]) for s in series]


def test_what_was_seen_is_a_mean_and_what_ended_a_number() -> None:
    rollups = [
        minute(0, a_run(), running_jobs=2.0),
        minute(4, a_run(), a_failed_run(), running_jobs=4.0),
        minute(6, running_jobs=1.0),
    ]
    assert values("running_jobs,completed_jobs,failed_jobs", rollups) == [[3.0, 1.0, None], [2, 0, None], [1, 0, None]]


def test_a_rate_without_a_run_and_a_gauge_that_nobody_saw_are_unknown() -> None:
    rollups = [minute(0, a_run(wait_seconds=60.0)), minute(6, running_jobs=1.0)]
    wait, rate, seen = values("wait_p50,success_rate,queue_length", rollups)
    assert wait == [pytest.approx(60, rel=0.05), None, None]
    assert (rate, seen) == ([1.0, None, None], [None, None, None])


def test_a_step_may_be_of_hours_and_the_last_may_be_cut_short() -> None:
    hour = rolled_up(Grain.HOUR, NOON, EVERYONE, [minute(0, running_jobs=4.0), minute(1, running_jobs=0.0)])
    assert values("running_jobs", [hour, minute(70, running_jobs=8.0)], HOUR, 2) == [[2.0, 8.0]]
    found = plot(series_of("running_jobs"), [], NOON, NOON + minutes(61), HOUR)
    assert found.times == (NOON, NOON + HOUR)


def test_names_are_known_or_answered_with_the_nearest() -> None:
    assert [s.name for s in series_of("wait_p90, queue_length,wait_p90")] == ["wait_p90", "queue_length"]
    assert [s.name for s in series_of(None)] == list(DEFAULT)
    with pytest.raises(Invalid) as refused:
        series_of("queue_lenght,sucess_rate,nothing at all")
    assert [(e.path, e.nearest) for e in refused.value.errors] == [
        ("metrics", "queue_length"), ("metrics", "success_rate"), ("metrics", None),
    ]  # fmt: skip


@pytest.mark.parametrize("names", [",", " , ", ",".join(list(CATALOGUE)[: MOST_SERIES + 1])])
def test_none_and_too_many_are_refused(names: str) -> None:
    with pytest.raises(Invalid, match="must name 1 to 20"):
        series_of(names)


def test_every_series_is_of_one_sort_and_every_default_is_one() -> None:
    assert set(DEFAULT) <= CATALOGUE.keys() and set(SAMPLED) < CATALOGUE.keys()
    cell = Cell()
    cell.add(a_run())
    for series in CATALOGUE.values():
        assert series.of_runs is None or isinstance(series.of_runs(cell), float)


def test_steps_are_counted_from_the_same_moment_for_all() -> None:
    assert floor_to(NOON + minutes(7), 5 * MINUTE) == NOON + minutes(5)
    assert floor_to(NOON + minutes(7), HOUR) == NOON
