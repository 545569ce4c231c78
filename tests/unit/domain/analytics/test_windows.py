"""Windows, steps, and the rollups that make a period up: each moment once."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.analytics.rollups import DAY, HOUR, MINUTE, Grain
from app.domain.analytics.windows import (
    MOST_POINTS,
    NICE_POINTS,
    Period,
    coarsest_of,
    cover,
    period_of,
    step_of,
    window_of,
)
from app.domain.errors import Invalid

TIMES = st.integers(0, 60 * 86_400_000).map(lambda n: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=n))
NOW = datetime(2026, 2, 10, 15, 23, 41, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "want"), [("1h", HOUR), ("60m", HOUR), ("90m", 90 * MINUTE), ("24h", DAY), ("30d", 30 * DAY)]
)
def test_windows(text: str, want: timedelta) -> None:
    assert window_of(text) == want


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0h",
        "59m",
        "31d",
        "721h",
        "24",
        "h",
        "-1h",
        "1.5h",
        "1 h",
        "24H",
        "١h",
        "1h\n",
        "1w",
        "999999d",
        "9" * 20 + "d",
    ],
)
def test_what_is_no_window_is_refused_naming_it(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        window_of(text)
    assert refused.value.errors[0].path == "window"


def test_short_windows_begin_at_a_minute_and_long_ones_at_an_hour() -> None:
    assert period_of(2 * DAY, NOW).start == datetime(2026, 2, 8, 15, 23, tzinfo=UTC)
    assert period_of(3 * DAY, NOW).start == datetime(2026, 2, 7, 15, tzinfo=UTC)


@given(st.timedeltas(HOUR, 30 * DAY))
def test_a_step_by_itself_gives_enough_points_and_not_too_many(window: timedelta) -> None:
    step = step_of(None, window)
    assert window / step <= NICE_POINTS
    assert step % (MINUTE if window <= 2 * DAY else HOUR) == timedelta(0)


@given(st.integers(60, 43_200), st.integers(1, 43_200))
def test_what_the_first_step_holds_is_still_kept(minutes: int, distance: int) -> None:
    """It begins up to a step before the window; a point that lacks what was thrown away would be a wrong number."""
    window = minutes * MINUTE
    with suppress(Invalid):
        step = step_of(f"{distance}m", window)
        assert window + step <= coarsest_of(step).kept


@pytest.mark.parametrize(
    ("step", "window", "why"),
    [
        ("1m", 2 * DAY, "ask for 2m or more"),
        ("90m", 3 * DAY, "multiple of 1h"),
        ("2h", HOUR, "longer than the window"),
        ("25h", 3 * DAY, "whole days"),
        ("5x", DAY, "whole number"),
    ],
)
def test_a_step_that_cannot_be_says_what_can(step: str, window: timedelta, why: str) -> None:
    with pytest.raises(Invalid, match=why) as refused:
        step_of(step, window)
    assert refused.value.errors[0].path == "step"


@given(st.integers(1, 720), st.integers(1, 400))
def test_a_step_is_bounded(hours: int, minutes: int) -> None:
    try:
        step = step_of(f"{minutes}m", timedelta(hours=hours))
    except Invalid:
        return
    assert timedelta(hours=hours) / step <= MOST_POINTS


def test_as_many_points_as_there_may_be_are_given() -> None:
    window = MOST_POINTS * MINUTE
    assert step_of("1m", window) == MINUTE
    with pytest.raises(Invalid, match="ask for 2m or more"):
        step_of("1m", window + HOUR)


@given(TIMES, st.timedeltas(timedelta(0), 35 * DAY), st.none() | TIMES, st.sampled_from(list(Grain)))
def test_a_period_is_covered_once_by_what_is_made(
    start: datetime, length: timedelta, settled: datetime | None, coarsest: Grain
) -> None:
    start = Grain.MINUTE.floor(start)
    period = Period(start, start + length)
    spans = cover(period, settled, coarsest)

    at = start
    for span in spans:
        assert span.start == at < span.end
        assert span.grain.floor(span.start) == span.start or span.grain is Grain.MINUTE
        assert span.grain is Grain.MINUTE or (span.grain.floor(span.end) == span.end <= (settled or start))
        at = span.end
    assert at == period.end
    order = list(Grain)
    assert all(order.index(span.grain) <= order.index(coarsest) for span in spans)


def test_a_month_is_made_of_few_rollups() -> None:
    spans = cover(period_of(30 * DAY, NOW), NOW)
    assert [span.grain for span in spans] == [Grain.HOUR, Grain.DAY, Grain.HOUR, Grain.MINUTE]
    assert sum(-((span.start - span.end) // span.grain.span) for span in spans) < 110


@given(TIMES, st.sampled_from(list(Grain)))
def test_grains_begin_at_whole_ones(at: datetime, grain: Grain) -> None:
    assert grain.floor(at) <= at < grain.floor(at) + grain.span
    assert at <= grain.ceil(at) < at + grain.span
    assert grain.ceil(grain.floor(at)) == grain.floor(at)
