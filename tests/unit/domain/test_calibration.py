"""Windows of start estimates: what they cover, and what is counted."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.calibration import (
    UNLEARNED,
    Announcement,
    Calibration,
    band_of,
    factors,
    learn,
    pinball,
    window,
)
from app.domain.priority import Priority


def said(start: float, low: float, high: float, naive: float = 300.0) -> Announcement:
    return Announcement(Priority.NORMAL, 0.0, start, low, high, naive)


def played(chance: random.Random, outcomes: int, drift: float = 0.0) -> tuple[Calibration, float]:
    """What is learned from log-normal errors around predictions of all orders, and the share inside of the last
    half."""
    calibration, inside = Calibration(), 0
    for n in range(outcomes):
        predicted = chance.choice([120.0, 1_200.0, 9_000.0, 40_000.0])
        low, high = window(predicted, factors(calibration))
        actual = max(0.0, (predicted + 60) * pow(2.718281828, chance.gauss(drift * n / outcomes, 0.5)) - 60)
        inside += low <= actual <= high and n >= outcomes // 2
        calibration = learn(calibration, said(predicted, low, high), actual)
    return calibration, inside / (outcomes - outcomes // 2)


@pytest.mark.parametrize("drift", [0.0, 1.0])
def test_four_in_five_starts_fall_inside_their_windows_also_while_queues_drift(drift: float) -> None:
    shares = [played(random.Random(seed), 1_600, drift)[1] for seed in range(6)]

    assert all(0.73 <= share <= 0.88 for share in shares)
    assert 0.75 <= sum(shares) / len(shares) <= 0.85


def test_before_anything_is_learned_a_window_is_wide() -> None:
    low, high = window(540.0, UNLEARNED)

    assert low < 540 / 1.5
    assert high > 540 * 1.5


def test_outcomes_are_counted_by_class_and_order_of_wait() -> None:
    calibration = learn(Calibration(), said(700, 500, 900), 600)
    calibration = learn(calibration, said(700, 500, 900), 100)
    calibration = learn(calibration, said(30, 10, 60), 90)

    assert dict(calibration.tally.results) == {
        ("normal", 1, "inside"): 1,
        ("normal", 1, "early"): 1,
        ("normal", 0, "late"): 1,
    }
    assert calibration.tally.share("inside") == pytest.approx(1 / 3)


def test_what_was_disturbed_is_counted_apart_and_teaches_nothing() -> None:
    before = Calibration()
    after = learn(before, replace(said(700, 500, 900), disturbed="reordered"), 5)

    assert dict(after.tally.results) == {("normal", 1, "reordered"): 1}
    assert after.scores == before.scores
    assert after.tally.share("inside") is None


def test_a_good_forecast_has_a_small_share_of_the_naive_loss() -> None:
    calibration = learn(Calibration(), said(1_000, 900, 1_100, naive=5_000), 1_010)

    assert calibration.tally.pinball_ratio is not None
    assert calibration.tally.pinball_ratio < 0.1


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_loss_is_least_at_the_truth(actual: float, other: float) -> None:
    for q in (0.1, 0.5, 0.9):
        assert pinball(q, actual - other) >= pinball(q, 0.0) == 0.0


@given(st.floats(0, 1e7))
def test_an_estimate_lies_in_its_window(predicted: float) -> None:
    low, high = window(predicted, UNLEARNED)

    assert 0 <= low <= predicted <= high
    assert 0 <= band_of(predicted) <= 3
