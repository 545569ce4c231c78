"""Faults that pydantic finds, in our words: all those that a request or a setting can have."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from app.api.schemas.base import Flag, Number, Whole
from app.config import load_settings
from app.domain.priority import Priority
from app.startup import StartupTrouble
from app.wording import fault


@pytest.mark.parametrize(
    ("kind", "value", "want"),
    [
        (dict[str, int], 1, "must be an object"),
        (list[int], "x", "must be a list"),
        (str, 1, "must be a string"),
        (Whole, "1", "must be a whole number"),
        (int, 1.5, "must be a whole number"),
        (Number, True, "must be a number"),
        (Number, float("inf"), "must be a finite number"),
        (Flag, "yes", "must be true or false"),
        (Priority, "hi", "must be 'urgent', 'high', 'normal' or 'low'"),
        (Annotated[int, Field(ge=1)], 0, "must be at least 1"),
        (Annotated[int, Field(le=500)], 501, "must be at most 500"),
        (Annotated[str, Field(max_length=3)], "abcd", "must have at most 3 characters"),
        (Annotated[list[int], Field(max_length=1)], [1, 2], "must have at most 1 entries"),
    ],
)
def test_a_fault_is_said_plainly(kind: Any, value: object, want: str) -> None:
    with pytest.raises(ValidationError) as found:
        TypeAdapter(kind).validate_python(value)
    [detail] = found.value.errors()
    assert fault(detail) == want


def test_settings_say_it_likewise() -> None:
    with pytest.raises(
        StartupTrouble, match=r"^JOB_TIMEOUT: must be more than 0 seconds and at most a year\. It means: Time limit"
    ):
        load_settings({"JOB_TIMEOUT": "-3"})
