"""The JSON value type, deep merge and the bounds that every free-form object from outside must keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.errors import FieldError

Json = Any
"""None, bool, int, float, str, or lists and string-keyed mappings of them. `Any`, since mypy has no recursive JSON."""

Place = tuple[str, ...]
"""The keys that lead to a value."""
MAX_DEPTH = 32


def deep_merge(base: Mapping[str, Json], over: Mapping[str, Json]) -> dict[str, Json]:
    """`base` overlaid by `over`: objects merge key by key, everything else (lists too) is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = deep_merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def json_leaves(value: Mapping[str, Json], place: Place = ()) -> list[tuple[Place, Json]]:
    """The values inside an object with their places: what is no object, or an empty one. A list is one value."""
    found: list[tuple[Place, Json]] = []
    for key, inner in value.items():
        at = (*place, key)
        if inner and isinstance(inner, dict):
            found += json_leaves(inner, at)
        else:
            found.append((at, inner))
    return found


def is_storable_key(key: str) -> bool:
    """Whether an object that is stored may have this key."""
    return key != "" and not key.startswith("$") and "." not in key and "\0" not in key


def unsafe_places(value: Json, path: str) -> Iterator[FieldError]:
    """What no stored object may hold: keys with `$`, `.` or NUL, NaN, integers beyond 64 bits, more than 32 levels."""
    todo: list[tuple[Json, str, int]] = [(value, path, 1)]
    while todo:
        here, at, depth = todo.pop()
        if depth > MAX_DEPTH:
            yield FieldError(at, f"nested deeper than {MAX_DEPTH} levels; flatten it")
        elif isinstance(here, dict):
            for key, inner in here.items():
                if not is_storable_key(key):
                    yield FieldError(
                        f"{at}.{key}", "a key must not be empty, start with `$`, or hold `.` or NUL; rename it"
                    )
                todo.append((inner, f"{at}.{key}", depth + 1))
        elif isinstance(here, list):
            todo.extend((inner, f"{at}[{n}]", depth + 1) for n, inner in enumerate(here))
        elif isinstance(here, float) and (here != here or here in (float("inf"), float("-inf"))):
            yield FieldError(at, "NaN and infinity are not JSON; leave the value out or send null")
        elif isinstance(here, int) and not -(2**63) <= here < 2**63:
            yield FieldError(at, "integers must fit in 64 bits; send a string or a number with a fraction")
