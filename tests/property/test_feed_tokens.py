"""Tokens of the change feed: what is given out comes back, and no text whatever makes the reading of one fail."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.storage.feed.token import PollPoint, WatchPoint, decode

DATA = st.binary(min_size=8, max_size=400).map(lambda raw: "82" + raw.hex().upper())
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2500, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
SAFE = re.compile(r"[A-Za-z0-9_-]+")


@given(DATA)
def test_a_place_in_the_stream_comes_back(data: str) -> None:
    point = WatchPoint(data)
    assert SAFE.fullmatch(point.text)
    assert decode(point.text) == point
    assert point.document == {"_data": data}


@given(TIMES)
def test_a_moment_comes_back(at: datetime) -> None:
    point = PollPoint(at.replace(microsecond=at.microsecond // 1000 * 1000))
    assert SAFE.fullmatch(point.text)
    assert decode(point.text) == point


@given(TIMES, TIMES)
def test_tokens_of_moments_sort_like_the_moments(one: datetime, other: datetime) -> None:
    one, other = (at.replace(microsecond=at.microsecond // 1000 * 1000) for at in (one, other))
    assert (PollPoint(one).text < PollPoint(other).text) == (one < other)


@given(st.one_of(st.text(), st.from_regex(r"[wp]8?2?[0-9a-fA-F]*", fullmatch=True)))
def test_any_text_is_a_token_in_its_only_form_or_none(text: str) -> None:
    point = decode(text)
    assert point is None or point.text == text
