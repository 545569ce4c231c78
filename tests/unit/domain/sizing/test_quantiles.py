"""Weighted quantiles, what was cut short, and the grid of amounts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sizing.grid import cores_up, memory_down, memory_up
from app.domain.sizing.quantiles import exceeding, quantile, weight, with_cut_short

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 1)), min_size=1, max_size=60)


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_quantile_is_one_of_the_values_and_covers_as_much_as_it_says(values: list[float], q: float) -> None:
    found = quantile(sorted((v, 1.0) for v in values), q)

    assert found in values
    assert sum(v <= found for v in values) >= min(len(values), q * len(values))


def test_of_few_values_a_high_quantile_is_the_largest() -> None:
    assert quantile([(float(n), 1.0) for n in range(19)], 0.95) == 18
    assert quantile([(float(n), 1.0) for n in range(39)], 0.95) == 37


def test_newer_runs_weigh_more() -> None:
    assert weight(0, NOW, NOW) == 1.0
    assert weight(50, NOW, NOW) == pytest.approx(0.5)
    assert weight(0, NOW - timedelta(days=30), NOW) == pytest.approx(0.5)
    assert weight(50, NOW - timedelta(days=30), NOW) == pytest.approx(0.25)
    assert weight(0, NOW + timedelta(days=1), NOW) == 1.0


def test_what_was_cut_short_counts_as_its_bound_or_as_the_quantile_before_it() -> None:
    known = [(0.0, 1.0)] * 5
    assert with_cut_short(known, [(1.0, 1.0)], 0.95)[-1] == (1.0, 1.0)
    assert with_cut_short(known, [(-1.0, 1.0)], 0.95) == [(0.0, 1.0)] * 6
    assert with_cut_short([], [(-1.0, 1.0), (-2.0, 1.0)], 0.95) == [(-1.0, 1.0)] * 2


@given(VALUES, VALUES, st.tuples(st.floats(-9, 9), st.floats(0.01, 1)))
def test_one_more_that_was_cut_short_never_lowers_the_quantile(
    values: list[tuple[float, float]], cut: list[tuple[float, float]], one: tuple[float, float]
) -> None:
    before, after = (quantile(with_cut_short(values, each, 0.95), 0.95) for each in (cut, [*cut, one]))
    assert after >= before


@given(VALUES, st.floats(0.05, 0.95))
def test_the_risk_of_exceeding_a_quantile_is_what_it_leaves(values: list[tuple[float, float]], q: float) -> None:
    known = sorted(values)
    found = quantile(known, q)
    if found < known[-1][0]:
        assert exceeding(known, found) <= 1 - q + 1e-9
    assert exceeding(known, 10.0) == pytest.approx(
        max(w for _, w in known) / (sum(w for _, w in known) + max(w for _, w in known))
    )


@pytest.mark.parametrize(
    ("mib", "want"), [(0, 1), (255.2, 256), (256, 256), (257, 320), (1_000, 1_024), (1_500, 1_536)]
)
def test_memory_goes_up_to_the_grid(mib: float, want: int) -> None:
    assert memory_up(mib) == want


@pytest.mark.parametrize(
    ("cores", "want"), [(0.0, 125), (0.3, 375), (0.99, 1_000), (1.1, 1_250), (1.9, 2_000), (7.2, 8_000), (8.1, 10_000)]
)
def test_cores_go_up_to_the_grid(cores: float, want: int) -> None:
    assert cores_up(cores) == want


@given(st.floats(1, 1e8))
def test_a_step_of_the_grid_is_a_quarter_at_most(mib: float) -> None:
    up = memory_up(mib)
    assert mib <= up <= max(mib + 1, 1.25 * (mib + 1))
    assert memory_up(up) == up
    assert memory_down(memory_up(up + 1)) == up
