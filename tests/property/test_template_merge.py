"""Deep merge: right-biased, associative, idempotent, and it never changes its inputs."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.json import deep_merge

leaves = st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
objects = st.recursive(
    st.dictionaries(st.sampled_from("abc"), leaves, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.one_of(leaves, inner), max_size=3),
    max_leaves=8,
)


@given(objects, objects)
def test_the_upper_layer_wins_and_nothing_is_lost(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = deep_merge(base, over)
    assert set(merged) == set(base) | set(over)
    for key, value in over.items():
        if not (isinstance(value, dict) and isinstance(base.get(key), dict)):
            assert merged[key] == value


@given(objects, objects, objects)
def test_layers_may_be_merged_in_any_grouping_when_shapes_agree(a: Any, b: Any, c: Any) -> None:
    if _shapes_agree(a, b) and _shapes_agree(deep_merge(a, b), c) and _shapes_agree(b, c):
        assert deep_merge(deep_merge(a, b), c) == deep_merge(a, deep_merge(b, c))


def _shapes_agree(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """An object stays an object: replacing one by a leaf forgets what lies below it."""
    return all(
        isinstance(a[k], dict) == isinstance(b[k], dict) and (not isinstance(a[k], dict) or _shapes_agree(a[k], b[k]))
        for k in a.keys() & b.keys()
    )


@given(objects, objects)
def test_merging_twice_is_merging_once_and_inputs_stay(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = copy.deepcopy((base, over))
    merged = deep_merge(base, over)
    assert deep_merge(merged, over) == merged
    assert (base, over) == before
