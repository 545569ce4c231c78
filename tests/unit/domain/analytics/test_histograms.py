"""A quantile of a histogram is within the error that it promises, however it was put together."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from app.domain.analytics.histograms import ACCURACY, LEAST, Histogram, add, bucket_of, quantile, value_of

SECONDS = st.floats(0, 3e9)
VALUES = st.lists(SECONDS, min_size=1, max_size=200)


def histogram(values: list[float]) -> Histogram:
    found: Histogram = {}
    for value in values:
        add(found, {bucket_of(value): 1})
    return found


def near(found: float | None, exact: float) -> bool:
    return found is not None and abs(found - exact) <= max(LEAST, (ACCURACY + 1e-9) * exact)


@given(SECONDS)
def test_a_bucket_stands_for_what_is_in_it(seconds: float) -> None:
    assert near(value_of(bucket_of(seconds)), seconds)


@given(VALUES, st.floats(0, 1))
def test_a_quantile_is_that_of_the_values_within_its_error(values: list[float], q: float) -> None:
    exact = sorted(values)[max(1, ceil(q * len(values))) - 1]
    assert near(quantile(histogram(values), q), exact)


@given(VALUES, VALUES)
def test_added_histograms_are_the_histogram_of_all(one: list[float], other: list[float]) -> None:
    both = histogram(one)
    add(both, histogram(other))
    assert both == histogram(one + other)


def test_of_nothing_nothing_is_known() -> None:
    assert quantile({}, 0.5) is None


def test_what_cannot_be_counts_as_nothing() -> None:
    assert bucket_of(-5.0) == bucket_of(0.0) == 0 and value_of(0) == 0.0
