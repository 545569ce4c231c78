"""`parameter=name:value`: what a listing asks of the parameters of jobs."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.errors import FieldError, Invalid

LONGEST = 300


def facts_of(given: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(path, value) of each. Raises Invalid for what has no name, no colon, or is too long."""
    pairs = [text.partition(":") for text in given]
    rule = f"must be name:value, such as C:10, of at most {LONGEST} characters"
    wrong = [n for n, (path, colon, _) in enumerate(pairs) if not path.strip() or not colon or len(given[n]) > LONGEST]
    if wrong:
        raise Invalid(FieldError(f"parameter[{n}]", rule) for n in wrong)
    return tuple((path.strip(), value) for path, _, value in pairs)
