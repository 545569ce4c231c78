"""Secret parameters: known to the run alone."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from app.domain.secrets import HIDDEN, Sealed, masked_errors, redacted, redactor, without_secrets
from tests.support.clock import NOON

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


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("after", ["", "@host", " and more"])
def test_a_value_is_cut_out_of_base64_wherever_it_begins(before: str, after: str) -> None:
    coded = base64.b64encode(f"{before}{TOKEN}{after}".encode()).decode()
    shown = cut(f"Authorization: Basic {coded}", TOKEN)
    assert HIDDEN in shown
    left = shown.removeprefix("Authorization: Basic ").replace(HIDDEN, "")
    assert len(left) <= len(coded) - len(base64.b64encode(TOKEN.encode()).rstrip(b"=")) + 3


def test_a_value_is_cut_out_of_a_url() -> None:
    assert cut(f"https://user:{quote(TOKEN, safe='')}@host/", TOKEN) == f"https://user:{HIDDEN}@host/"


def test_a_short_value_is_not_looked_for_in_base64() -> None:
    assert cut("YWJjZGU= abcde", "abcde") == f"YWJjZGU= {HIDDEN}"


def test_whatever_holds_text_is_redacted_to_its_depth() -> None:
    redact = redactor([TOKEN])
    assert redact is not None
    said = {"a": [TOKEN, 1, {TOKEN: f"x{TOKEN}"}], "b": None, "c": True}
    assert redacted(said, redact) == {"a": [HIDDEN, 1, {HIDDEN: f"x{HIDDEN}"}], "b": None, "c": True}


def test_a_mask_is_no_secret() -> None:
    [error] = masked_errors({"token": HIDDEN, "rate": HIDDEN, "other": "x"}, ("token", "other", "third"))
    assert error.path == "parameters.token"


def test_what_is_sealed_is_not_in_its_repr() -> None:
    assert TOKEN not in repr(Sealed("job_1", "job_1", {"token": TOKEN}, NOON))
