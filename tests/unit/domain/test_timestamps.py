"""Timestamps as text: fixed width, UTC, exactly three decimals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.timestamps import optional_rfc3339, rfc3339


@pytest.mark.parametrize(
    ("at", "want"),
    [
        (datetime(2026, 1, 1, 12, tzinfo=UTC), "2026-01-01T12:00:00.000Z"),
        (datetime(2026, 1, 1, 12, 0, 0, 999_999, tzinfo=UTC), "2026-01-01T12:00:00.999Z"),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:00:00.000Z"),
        (datetime(7, 1, 1, tzinfo=UTC), "0007-01-01T00:00:00.000Z"),
    ],
)
def test_forms(at: datetime, want: str) -> None:
    assert rfc3339(at) == want
    assert optional_rfc3339(at) == want


def test_a_time_that_has_not_come_is_null() -> None:
    assert optional_rfc3339(None) is None


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(AssertionError):
        rfc3339(datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None))


MOMENTS = st.datetimes(timezones=st.just(UTC))


@given(MOMENTS, MOMENTS)
def test_texts_sort_like_the_times(one: datetime, other: datetime) -> None:
    one, other = (at.replace(microsecond=at.microsecond // 1000 * 1000) for at in (one, other))
    assert (rfc3339(one) < rfc3339(other)) == (one < other)
    assert datetime.fromisoformat(rfc3339(one)) == one
