"""Patterns of template parameters. They come from users, so they are matched in linear time, whatever they say.

Python's own `re` would let one pattern such as `(a+)+b` stop the whole process; the engine of pydantic-core (the Rust
crate `regex`) cannot be made to, and therefore has no look-around and no back-references. What a pattern takes to be
made ready is bounded by its weight, since `(\\w{9}){40}` is short, and large.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

LONGEST = 1_000
HEAVIEST = 20_000
"""Weight of the patterns that are made ready for one request: some tenths of a second."""
_CLASS, _RANGES = 30, 3
"""What `\\w` weighs, and what `[a-z]` does, of which a character is 1."""
_TOKEN = re.compile(
    r"(?P<named>\\[pP](?:\{[^}]*\}|.)|\\[wWdDsS])|(?P<ranges>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<times>\{\s*[0-9]+\s*(?:,\s*[0-9]*\s*)?\})|(?P<open>\()|(?P<close>\))|(?P<character>\\.|.)",
    re.DOTALL,
)
_EXTENDED = re.compile(r"\(\?[a-zA-Z-]*x")


def pattern_fault(pattern: str) -> str | None:
    """Why this is no pattern, None when it is one."""
    if len(pattern) > LONGEST:
        return f"longer than {LONGEST:,} characters"
    if _EXTENDED.search(pattern):
        return "the flag `x` is not taken"
    if weight(pattern) > HEAVIEST:
        return "its repetitions are too many; count fewer, or match less"
    try:
        _engine(pattern)  # by itself first: `a)|(b` would be one only inside the brackets that are put around it
        _compiled(pattern)
    except SchemaError as error:
        return " ".join(str(error).rpartition("rror: ")[2].split())[:300]
    return None


def weight(pattern: str) -> int:
    """How much the engine has to make of a pattern: its characters and classes, each as often as it is counted."""
    groups, last = [0], 0
    for token in _TOKEN.finditer(pattern[:LONGEST]):
        if token["times"]:
            more = last * (max(1, *map(int, re.findall("[0-9]+", token["times"]))) - 1)
            groups[-1], last = groups[-1] + more, last + more
        elif token["open"]:
            groups.append(0)
            last = 0
        else:
            inner = groups.pop() if token["close"] and len(groups) > 1 else None
            last = _single(token) if inner is None else inner
            groups[-1] += last
    return sum(groups)


def _single(token: re.Match[str]) -> int:
    """The weight of one place: a bracket that names a class is as heavy as that."""
    if token["named"] or "\\" in (token["ranges"] or ""):
        return _CLASS
    return _RANGES if token["ranges"] else 1


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
