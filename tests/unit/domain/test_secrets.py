"""Secret parameters: known to the run alone."""

from __future__ import annotations

import json

import pytest

from app.domain.secrets import HIDDEN, redactor, without_secrets

TOKEN = 'hunter2-é"quote'
KEY = "-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----"


def cut(text: str, *values: str) -> str:
    """The text with these secrets cut out."""
    redact = redactor(values)
    assert redact is not None
    return redact(text)


def test_shown_parameters_hide_the_values_and_keep_the_rest() -> None:
    given = {"token": TOKEN, "rate": 0.5, "other": None}
    assert without_secrets(given, ("token", "other")) == {"token": HIDDEN, "rate": 0.5, "other": None}
    assert without_secrets(given, ()) == given


@pytest.mark.parametrize(
    "text",
    [f"auth {TOKEN} failed", json.dumps({"token": TOKEN}), json.dumps({"token": TOKEN}, ensure_ascii=False)],
)
def test_a_value_is_cut_out_however_it_is_written(text: str) -> None:
    shown = cut(text, TOKEN)
    assert HIDDEN in shown
    assert "hunter2" not in shown


def test_a_value_of_several_lines_is_cut_out_line_by_line() -> None:
    assert [cut(line, KEY) for line in KEY.splitlines()] == [HIDDEN] * 3


@pytest.mark.parametrize("value", ["", "abc", None, 12345])
def test_what_is_too_short_or_no_text_takes_no_words_apart(value: object) -> None:
    assert redactor([value]) is None
