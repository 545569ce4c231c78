"""Waste, out-of-memory rates, and the rules that sizing is compared with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sizing.measures import (
    RULES,
    Earlier,
    Measured,
    Outcome,
    Rule,
    outcome,
    replayed,
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


def test_a_killed_run_needed_a_fifth_more_than_it_had_or_what_it_was_seen_to_use() -> None:
    assert Measured(100, 90, killed=True).need == pytest.approx(120)
    assert Measured(100, 130, killed=True).need == 130


def earlier(*needs: float) -> Earlier:
    found = Earlier()
    for each in needs:
        found.add(each)
    return found


def test_what_others_do() -> None:
    assert window_maximum(earlier(*range(100, 130))) == pytest.approx(1.1 * 129)
    assert window_maximum(earlier(9_000, *[100] * 20)) == pytest.approx(110)
    assert vpa(earlier(*[10] * 5)) == 250
    assert vpa(earlier(*(float(n) for n in range(10_000, 0, -1_000)))) == pytest.approx(1.15 * 9_000)


def test_a_run_that_gets_too_little_is_killed_and_grows_as_the_retry_policy_says() -> None:
    made = replayed([(100, 200)], None)
    assert made == [Measured(100, 100, True), Measured(150, 150, True), Measured(225, 200)]
    enough_at_last = replayed([(100, 10_000)], None)
    assert [run.killed for run in enough_at_last] == [True] * 4 + [False]
    assert enough_at_last[-1] == Measured(10_000, 10_000)


def test_a_rule_learns_from_needs_and_from_kills() -> None:
    made = replayed([(1_000, 500), (1_000, 600), (1_000, 100)], window_maximum)
    assert [run.allotted for run in made] == pytest.approx([1_000, 550, 825, 726])
    assert made[1] == Measured(pytest.approx(550), pytest.approx(550), True)


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=20), st.sampled_from([None, *RULES.values()]))
def test_every_job_of_a_replay_completes_once(needs: list[tuple[float, float]], rule: Rule | None) -> None:
    made = replayed(needs, rule)
    assert [run.peak for run in made if not run.killed] == [needed for _, needed in needs]
    assert all(run.allotted >= run.peak for run in made)
