"""Expressions inside parameters: which are some, what fills them, and how they stay apart from placeholders."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.domain.expressions import BadValue, embedded, filled, is_whole, steps_mentioned
from app.domain.placeholders import placeholders

FOUND: tuple[tuple[Any, list[tuple[str, str]]], ...] = (
    ("${{ inputs.n }}", [("", "inputs.n")]),
    (" ${{ {'a': {'b': 1}} }} ", [("", "{'a': {'b': 1}}")]),
    ("a ${{ inputs.n }} b ${{ item }}", [("", "inputs.n"), ("", "item")]),
    ({"x": ["${{ index }}", 1], "y": "plain"}, [("x[0]", "index")]),
    ("${{ parameters.lr }}", []),
    ("--lr=${{ parameters.arguments.lr }} ${{ inputs.n }}", [("", "inputs.n")]),
    ("${{ never closed", []),
    (7, []),
)


@pytest.mark.parametrize(("value", "want"), FOUND)
def test_expressions_are_found_where_they_stand(value: Any, want: list[tuple[str, str]]) -> None:
    assert list(embedded(value)) == want


FILLED: tuple[tuple[Any, Any], ...] = (
    ("${{ n }}", 3),
    ("${{ m }}", {"k": [1]}),
    ("n=${{ n }}, m=${{ m }}", 'n=3, m={"k":[1]}'),
    (["${{ s }}", {"deep": "${{ n }}"}], ["text", {"deep": 3}]),
    ("${{ parameters.lr }} ${{ n }}", "${{ parameters.lr }} 3"),
    ("${{ parameters.lr }}", "${{ parameters.lr }}"),
)


@pytest.mark.parametrize(("value", "want"), FILLED)
def test_a_whole_one_keeps_its_type_and_an_embedded_one_becomes_text(value: Any, want: Any) -> None:
    assert filled(value, {"n": 3, "m": {"k": [1]}, "s": "text"}) == want


@pytest.mark.parametrize("smuggled", ["${{ parameters.secret }}", ["x", {"k": "a ${{ b"}], {"${{ parameters.x": 1}])
def test_no_value_smuggles_in_a_placeholder(smuggled: Any) -> None:
    for text in ("${{ n }}", "a ${{ n }}"):
        with pytest.raises(BadValue):
            filled(text, {"n": smuggled})


def test_names_are_those_of_the_roots_only() -> None:
    assert steps_mentioned("steps.a.outputs.steps.b > inputs.steps.c && xsteps.d == steps . e.status") == {"a", "e"}


def test_is_whole_is_not_fooled() -> None:
    assert is_whole("${{ a }} ${{ b }}") is None and is_whole("x ${{ a }}") is None


@pytest.mark.parametrize("find", [lambda t: list(embedded(t)), lambda t: list(placeholders(t))])
def test_a_text_of_openings_is_read_in_one_pass(find: Any) -> None:
    began = time.process_time()
    assert find("}}" + "${{" * 300_000) == []
    assert time.process_time() - began < 5
