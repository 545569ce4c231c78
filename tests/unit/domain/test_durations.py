"""What runs like a job say of how long it should take."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.durations import Kinship, PastRun, expected, quantile

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KIN = Kinship("default", "train", "svm", "iris")


def runs(*seconds: float, kin: Kinship = KIN, outcome: str = "completed") -> list[PastRun]:
    """The first is the newest."""
    return [PastRun(kin, s, outcome, NOW - timedelta(hours=n)) for n, s in enumerate(seconds)]


def test_without_any_run_it_is_the_time_limit() -> None:
    found = expected(KIN, [], 600, NOW)

    assert (found.median, found.mean, found.cautious, found.source) == (600, 600, 600, "timeout")


def test_of_few_runs_the_mean_of_the_last_two() -> None:
    found = expected(KIN, runs(10, 20, 90), 600, NOW)

    assert (found.mean, found.runs) == (15, 3)
    assert found.cautious == pytest.approx(117)


def test_of_enough_runs_their_quantiles() -> None:
    found = expected(KIN, runs(*range(1, 101)), 600, NOW)

    assert 20 < found.median < 60 < found.cautious <= 100
    assert (found.source, found.group, found.runs) == ("history", "tenant, template, algorithm, dataset", 100)


def test_the_finest_group_with_enough_runs_is_used() -> None:
    other_data = runs(*[50] * 5, kin=replace(KIN, dataset="wine"))
    other_tenant = runs(*[500] * 9, kin=replace(KIN, tenant="other"))

    assert expected(KIN, [*runs(1), *other_data, *other_tenant], 600, NOW).group == "tenant, template, algorithm"
    assert expected(KIN, other_tenant, 600, NOW).group == "template, algorithm"
    elsewhere = runs(*[500] * 9, kin=Kinship("other", "another", "svm", None))
    assert expected(KIN, elsewhere, 600, NOW).group == "algorithm"
    assert expected(replace(KIN, algorithm=None), runs(*[5] * 9, kin=Kinship("x", "y", None, None)), 600, NOW).runs == 0


def test_a_run_that_met_its_limit_would_have_taken_longer() -> None:
    assert expected(KIN, runs(*[100] * 6, outcome="timeout"), 600, NOW).median == 150


@pytest.mark.parametrize("outcome", ["cancelled", "worker_lost", "error", "preempted"])
def test_runs_that_did_not_end_by_themselves_tell_nothing(outcome: str) -> None:
    assert expected(KIN, runs(*[1] * 9, outcome=outcome), 600, NOW).source == "timeout"


def test_nothing_is_expected_to_take_longer_than_its_limit() -> None:
    found = expected(KIN, runs(*[900] * 9), 600, NOW)

    assert (found.median, found.mean, found.cautious) == (600, 600, 600)


def test_recent_runs_weigh_more() -> None:
    slower_now = runs(*[100] * 30, *[10] * 70)
    faster_now = runs(*[10] * 30, *[100] * 70)

    assert expected(KIN, slower_now, 600, NOW).mean > 100 - expected(KIN, faster_now, 600, NOW).mean + 10


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_quantile_is_one_of_the_values_and_covers_as_much_as_it_says(values: list[float], q: float) -> None:
    found = quantile([(v, 1.0) for v in values], q)

    assert found in values
    assert sum(v <= found for v in values) >= min(len(values), q * len(values))
