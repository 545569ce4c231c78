"""`${{ parameters.learning_rate }}` in argument lists and environments: dotted look-ups, and nothing else.

A string that is one placeholder as a whole becomes the value itself, with its JSON type; inside a longer string the
value's text is put. Substitution happens once: what a value contains is never looked at again, so that no parameter
can smuggle in a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import orjson

from app.domain.json import Json
from app.domain.nearest import nearest_name

_PLACEHOLDER = re.compile(r"\$\{\{((?:(?!\$\{\{).)*?)\}\}", re.DOTALL)
"""Nothing within one opens another, so that a text of openings alone is read in one pass."""
ROOTS_OF_A_RUN = ("inputs", "steps")
"""First names of what only a run knows."""
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")


class BadPlaceholder(ValueError):
    """A placeholder that names nothing. `placeholder` is its text, `nearest` the name that was probably meant."""

    def __init__(self, placeholder: str, problem: str, nearest: str | None = None) -> None:
        hint = f"; did you mean {nearest}?" if nearest else ""
        super().__init__(f"${{{{ {placeholder[:120]} }}}}: {problem}{hint}")
        self.placeholder, self.nearest = placeholder, nearest


def placeholders(value: Json) -> Iterator[str]:
    """The paths of all placeholders in a value, at any depth, in order."""
    if isinstance(value, str):
        yield from (found.group(1).strip() for found in _PLACEHOLDER.finditer(value))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from placeholders(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from placeholders(inner)


def unresolved(value: Json, roots: Mapping[str, Json], later: Iterable[str] = ()) -> Iterator[BadPlaceholder]:
    """What is wrong with the placeholders of a value; those whose first name is in `later` are not judged yet."""
    for path in placeholders(value):
        if path.split(".")[0].strip() in later:
            continue
        try:
            _look_up(path, roots)
        except BadPlaceholder as problem:
            yield problem


def substitute(value: Json, roots: Mapping[str, Json]) -> Json:
    """`value` with every placeholder replaced by what `roots` holds at its path. Raises BadPlaceholder."""
    if isinstance(value, str):
        return _substitute_text(value, roots)
    if isinstance(value, Mapping):
        return {key: substitute(inner, roots) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [substitute(inner, roots) for inner in value]
    return value


def text_of(value: Json) -> str:
    """A JSON value as one argument: strings as they are, null as nothing, everything else as compact JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


def _substitute_text(text: str, roots: Mapping[str, Json]) -> Json:
    whole = _PLACEHOLDER.fullmatch(text.strip())
    if whole and text.count("${{") == 1:
        return _look_up(whole.group(1).strip(), roots)
    return _PLACEHOLDER.sub(lambda found: text_of(_look_up(found.group(1).strip(), roots)), text)


def _look_up(path: str, roots: Mapping[str, Json]) -> Json:
    if not _PATH.fullmatch(path):
        raise BadPlaceholder(path, "only dotted names such as parameters.learning_rate can be looked up")
    here: Json = roots
    walked: list[str] = []
    for name in path.split("."):
        here = _step_into(here, name, path, walked)
        walked.append(name)
    return here


def _step_into(here: Json, name: str, path: str, walked: list[str]) -> Json:
    if isinstance(here, Mapping):
        if name in here:
            return here[name]
        near = nearest_name(name, map(str, here))
        where = ".".join(walked) or "the expression"
        raise BadPlaceholder(path, f"{where} has no {name!r}", ".".join([*walked, near]) if near else None)
    if isinstance(here, (list, tuple)) and name.isdecimal() and int(name) < len(here):
        return here[int(name)]
    raise BadPlaceholder(path, f"{'.'.join(walked)} has no {name!r}")
