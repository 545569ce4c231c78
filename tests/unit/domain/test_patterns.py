"""Patterns of parameters: whole matches, refusals that say why, and no pattern that stops the process."""

from __future__ import annotations

import time

import pytest

from app.domain import patterns
from app.domain.patterns import HEAVIEST, matches, pattern_fault, weight
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
    [("(", "unclosed group"), ("(?=a)b", "look-around"), (r"\w{500}", "size limit"), ("a" * 1001, "longer than")],
)
def test_what_cannot_be_matched_in_linear_time_is_refused(pattern: str, why: str) -> None:
    assert why in (pattern_fault(pattern) or "")


def test_no_pattern_takes_long() -> None:
    begun = time.monotonic()
    assert list(value_errors(Parameter("p", "string", pattern="(a+)+b"), "a" * 50_000, "parameters.p"))
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("pattern", "want"),
    [
        ("abc", 3),
        (r"\w{1,63}", 63 * 30),
        (r"\pL\p{Greek}\PN", 90),
        ("[a-z0-9]{8}-[a-z0-9]{4}", 8 * 3 + 1 + 4 * 3),
        (r"[\w-]{ 3 , 4 }", 120),
        ("(ab){3}c", 7),
        ("((a{9}){9}){9}", 729),
        ("a{3,}b{0}", 4),
        (r"\(\{9\}", 4),
        ("){3}", 3),
        ("(", 0),
    ],
)
def test_a_pattern_weighs_what_the_engine_makes_of_it(pattern: str, want: int) -> None:
    assert weight(pattern) == want


@pytest.mark.parametrize("pattern", [r"(\w{40}){40}", "((a{99}){99}){99}", "a{" + "9" * 900 + "}"])
def test_a_pattern_that_repeats_too_much_is_refused_before_it_is_made_ready(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "_engine", lambda pattern: pytest.fail("made ready"))
    assert weight(pattern) > HEAVIEST
    assert "repetitions" in (pattern_fault(pattern) or "")


def test_a_comment_hides_no_repetitions() -> None:
    assert "flag `x`" in (pattern_fault("(?ix)#[\n(\\w{40}){40}#]") or "")
