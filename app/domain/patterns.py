"""Patterns of template parameters. They come from users, so they are matched in linear time, whatever they say.

Python's own `re` would let one pattern such as `(a+)+b` stop the whole process; the engine of pydantic-core (the Rust
crate `regex`) cannot be made to, and therefore has no look-around and no back-references.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

LONGEST = 1_000


def pattern_fault(pattern: str) -> str | None:
    """Why this is no pattern, None when it is one."""
    if len(pattern) > LONGEST:
        return f"longer than {LONGEST:,} characters"
    try:
        _engine(pattern)  # by itself first: `a)|(b` would be one only inside the brackets that are put around it
        _compiled(pattern)
    except SchemaError as error:
        return " ".join(str(error).rpartition("rror: ")[2].split())[:300]
    return None


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern matches the text as a whole."""
    try:
        _compiled(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> SchemaValidator:
    return _engine(rf"\A(?:{pattern})\z")


def _engine(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
