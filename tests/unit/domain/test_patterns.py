"""Patterns of parameters: whole matches, refusals that say why, and no pattern that stops the process."""

from __future__ import annotations

import time

import pytest

from app.domain.patterns import matches, pattern_fault
from app.domain.templates import Parameter, value_errors


@pytest.mark.parametrize(
    ("pattern", "text", "want"),
    [
        ("[a-z]{3}", "abc", True), ("[a-z]{3}", "abcd", False), ("[a-z]{3}", "abc\n", False), ("a|b", "ab", False),
        ("a|b", "b", True), (r"\d+", "12", True), ("", "", True), ("(?i)yes", "YES", True),
    ],
)  # fmt: skip
def test_a_pattern_matches_the_whole_text(pattern: str, text: str, want: bool) -> None:
    assert pattern_fault(pattern) is None
    assert matches(pattern, text) is want


@pytest.mark.parametrize(
    ("pattern", "why"),
    [("(", "unclosed group"), ("(?=a)b", "look-around"), ("(a{999}){999}", "size limit"), ("a" * 1001, "longer than")],
)
def test_what_cannot_be_matched_in_linear_time_is_refused(pattern: str, why: str) -> None:
    assert why in (pattern_fault(pattern) or "")


def test_no_pattern_takes_long() -> None:
    begun = time.monotonic()
    assert list(value_errors(Parameter("p", "string", pattern="(a+)+b"), "a" * 50_000, "parameters.p"))
    assert time.monotonic() - begun < 1
