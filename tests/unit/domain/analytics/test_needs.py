"""What was allocated beside what simple rules would have allocated to the same runs."""

from __future__ import annotations

import pytest

from app.domain.analytics.needs import ENOUGH, Need, review
from app.domain.sizing.measures import Earlier, window_maximum

KIN = ("default", "train", "svm", "iris")


def need(peak: float, allocated: float = 1_000.0, *, killed: bool = False, kin: tuple[str | None, ...] = KIN) -> Need:
    return Need(kin, allocated, peak, killed)


def earlier(*needs: float) -> Earlier:
    found = Earlier()
    for each in needs:
        found.add(each)
    return found


def test_runs_are_judged_once_there_are_enough_before_them_of_their_kind() -> None:
    assert review([need(500.0)] * ENOUGH).ours.runs == 0
    assert review([need(500.0)] * (ENOUGH + 2)).ours.runs == 2
    others = [need(500.0, kin=("default", "train", "svm", str(n))) for n in range(50)]
    assert review(others).ours.runs == 0


def test_all_are_judged_over_the_same_runs() -> None:
    found = review([need(500.0)] * 10)
    assert found.ours.waste == pytest.approx(0.5)
    assert found.rules["window_maximum"].waste == pytest.approx(0.1 / 1.1)
    assert found.rules["vpa_p90"].waste == pytest.approx(0.15 / 1.15)
    assert {rule.runs for rule in found.rules.values()} == {found.ours.runs} == {5}


def test_a_run_that_a_rule_gives_too_little_is_killed_and_wastes_nothing() -> None:
    found = review([*[need(500.0)] * 5, need(900.0)])
    assert (found.ours.killed_rate, found.ours.waste) == (0.0, pytest.approx(0.1))
    assert found.rules["window_maximum"].killed_rate == 1.0
    assert found.rules["window_maximum"].waste is None


def test_a_run_that_was_killed_needed_more_than_it_had() -> None:
    found = review([*[need(500.0)] * 5, need(610.0, 600.0, killed=True), *[need(500.0)] * 2])
    assert found.ours.killed == 1
    assert found.rules["window_maximum"].killed == 1, "1.1 x 500 is less than 1.2 x 600"
    assert window_maximum(earlier(500.0, need(610.0, 600.0, killed=True).least)) == pytest.approx(1.1 * 720)


def test_of_no_runs_nothing_is_said() -> None:
    found = review([])
    assert (found.ours.waste, found.ours.killed_rate) == (None, None)
