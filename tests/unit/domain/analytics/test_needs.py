"""What was allocated beside what simple rules would have allocated to the same runs."""

from __future__ import annotations

import pytest

from app.domain.analytics.needs import ENOUGH, UNKNOWN, Need, Review, review
from app.domain.sizing.measures import RULES, Measured, Outcome

KIN = ("default", "train", "svm", "iris")


def need(
    peak: float,
    allotted: float = 1_000.0,
    *,
    killed: bool = False,
    kin: tuple[str | None, ...] = KIN,
    source: str | None = "request",
) -> Need:
    return Need(kin, Measured(allotted, peak, killed), source)


def allocated(found: Review) -> Outcome:
    assert found.allocated is not None
    return found.allocated


def by(found: Review, rule: str) -> Outcome:
    made = found.by_rule[rule]
    assert made is not None
    return made


def test_runs_are_judged_once_there_are_enough_before_them_of_their_kind() -> None:
    assert review([need(500.0)] * ENOUGH) == Review(None, {}, dict.fromkeys(RULES))
    assert allocated(review([need(500.0)] * (ENOUGH + 2))).runs == 2
    others = [need(500.0, kin=("default", "train", "svm", str(n))) for n in range(50)]
    assert review(others).allocated is None


def test_all_are_judged_over_the_same_runs() -> None:
    found = review([need(500.0)] * 10)
    assert allocated(found) == Outcome(5, 0.0, 0.5)
    assert by(found, "window_maximum") == Outcome(5, 0.0, pytest.approx(0.1 / 1.1))
    assert by(found, "vpa_p90") == Outcome(5, 0.0, pytest.approx(0.15 / 1.15))
    assert set(found.by_rule) == {"window_maximum", "vpa_p90"}, "what was asked for is what was allocated"


def test_a_run_that_a_rule_gives_too_little_is_killed_and_wastes_nothing() -> None:
    found = review([*[need(500.0)] * 5, need(900.0)])
    assert allocated(found) == Outcome(1, 0.0, pytest.approx(0.1))
    assert by(found, "window_maximum") == Outcome(1, 1.0, None)


def test_a_run_that_was_killed_needed_more_than_it_had() -> None:
    found = review([*[need(500.0)] * 5, need(510.0, 500.0, killed=True), *[need(500.0)] * 2])
    assert allocated(found).oom_rate == pytest.approx(1 / 3)
    assert by(found, "window_maximum").oom_rate == pytest.approx(1 / 3), (
        "1.1 x 500 is more than 510, and less than 1.2 x 500"
    )


def test_where_the_amounts_came_from() -> None:
    runs = [*[need(500.0, source="history")] * 6, need(100.0), need(900.0, source=None)]
    assert review(runs).by_source == {
        "history": Outcome(1, 0.0, 0.5),
        "request": Outcome(1, 0.0, 0.9),
        UNKNOWN: Outcome(1, 0.0, pytest.approx(0.1)),
    }
