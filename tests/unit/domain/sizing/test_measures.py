"""Waste, out-of-memory rates, and the rules that sizing is compared with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sizing.measures import (
    BASELINES,
    Measured,
    Outcome,
    compared,
    outcome,
    replayed,
    requested,
    vpa,
    waste,
    window_maximum,
)

AMOUNTS = st.floats(1, 100_000)


def runs(*peaks: float) -> list[Measured]:
    return [Measured(1_000, peak) for peak in peaks]


@pytest.mark.parametrize(
    ("allotted", "peak", "want"), [(1_000, 250, 0.75), (1_000, 1_000, 0), (1_000, 1_010, 0), (0, 5, 0)]
)
def test_waste_is_the_share_that_was_not_used(allotted: float, peak: float, want: float) -> None:
    assert waste(allotted, peak) == want


def test_killed_runs_count_as_killed_and_not_as_waste() -> None:
    assert outcome([*runs(500, 250), Measured(100, 100, killed=True)]) == Outcome(3, pytest.approx(1 / 3), 0.625)
    assert outcome([Measured(100, 100, killed=True)]) == Outcome(1, 1.0, None)
    assert outcome([]) is None


def test_of_a_killed_run_the_need_is_at_least_a_fifth_more_than_it_got() -> None:
    assert Measured(100, 90, killed=True).need == pytest.approx(120)
    assert Measured(100, 130, killed=True).need == pytest.approx(156)


def test_what_others_do() -> None:
    past = runs(*range(100, 130))
    assert requested(past, 512) == 512
    assert window_maximum(past, 512) == pytest.approx(1.1 * 129)
    assert window_maximum(runs(900, *[100] * 20), 512) == pytest.approx(110)
    assert vpa(past, 512) == 250
    assert vpa(runs(*[1_000] * 9, 4_000), 512) == pytest.approx(1_150)
    assert window_maximum([], 512) == vpa([], 512) == 512


def test_a_run_that_gets_too_little_is_killed_and_grows_as_the_retry_policy_says() -> None:
    made = replayed([(100, 200)], requested)
    assert made == [Measured(100, 100, True), Measured(150, 150, True), Measured(225, 200)]
    enough_at_last = replayed([(100, 10_000)], requested)
    assert [run.killed for run in enough_at_last] == [True] * 4 + [False]
    assert enough_at_last[-1] == Measured(10_000, 10_000)


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=20), st.sampled_from(sorted(BASELINES)))
def test_every_job_of_a_replay_completes_once(needs: list[tuple[float, float]], rule: str) -> None:
    made = replayed(needs, BASELINES[rule])
    assert [run.peak for run in made if not run.killed] == [needed for _, needed in needs]
    assert all(run.allotted >= run.peak for run in made)


def test_rules_are_compared_on_the_runs_whose_needs_are_known() -> None:
    found = compared([*runs(*[500] * 10), Measured(400, 400, killed=True)])
    assert set(found) == {"actual", "window_maximum", "vpa_p90"}
    assert found["actual"] == Outcome(11, pytest.approx(1 / 11), 0.5)
    assert found["window_maximum"].waste == pytest.approx((0.5 + 9 * (1 - 1 / 1.1)) / 10)
    assert compared([]) == {}
