"""Keys between other keys."""

from __future__ import annotations

from itertools import pairwise
from math import nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.order_keys import key_between, spread
from app.domain.priority import SECOND, order_key
from tests.support.clock import NOON

KEY = order_key(NOON)
KEYS = st.floats(0, 1e16, allow_nan=False)


def test_the_ends_have_a_second_of_room() -> None:
    assert key_between(None, KEY, 0.0) == KEY - SECOND
    assert key_between(KEY, None, 0.0) == KEY + SECOND
    assert key_between(None, None, 7.0) == 7.0


@given(KEYS, KEYS)
def test_a_key_between_two_is_strictly_between_or_there_is_none(one: float, other: float) -> None:
    before, after = sorted((one, other))
    key = key_between(before, after, 0.0)
    if key is None:
        assert nextafter(before, after) in {before, after}, "a double lay between"
    else:
        assert before < key < after


def test_some_fifty_moves_to_one_place_use_up_its_keys() -> None:
    before, after, moves = KEY, KEY + 1_000, 0
    while (key := key_between(before, after, 0.0)) is not None:
        after, moves = key, moves + 1
    assert 10 < moves < 60


@given(st.lists(KEYS, min_size=3, max_size=70))
def test_a_spread_keeps_the_ends_and_leaves_room_everywhere(keys: list[float]) -> None:
    keys = sorted(keys)
    even = spread(keys)
    if even is None:
        return
    assert (even[0], even[-1], len(even)) == (keys[0], keys[-1], len(keys))
    assert all(key_between(a, b, 0.0) is not None for a, b in pairwise(even))


def test_a_gap_that_was_used_up_has_room_again() -> None:
    tight = [KEY, nextafter(KEY, KEY + 1), KEY + 1_000]
    assert key_between(tight[0], tight[1], 0.0) is None
    even = spread(tight)
    assert even is not None
    assert key_between(even[0], even[1], 0.0) is not None


@pytest.mark.parametrize("keys", [[], [KEY], [KEY, KEY + 1], [KEY, KEY, KEY], [KEY, KEY, nextafter(KEY, KEY + 1)]])
def test_what_has_no_room_says_so(keys: list[float]) -> None:
    assert spread(keys) is None
