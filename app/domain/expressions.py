"""Expressions: what they may be written as, and what comes of them. Evaluating is an adapter's (`ports.Expressions`).

The language is CEL (Common Expression Language). A condition such as `steps.evaluate.outputs.accuracy > 0.9` stands by
itself; inside parameters an expression stands in `${{ … }}`. A text that is one expression as a whole becomes its value
with its type; inside longer text its value is put as text.

Not every `${{ … }}` is an expression: `${{ parameters.learning_rate }}` is a placeholder of commands
(`app.domain.placeholders`), which the job fills in when it runs. It is told apart by its first name, `parameters`,
and left alone here. So that no value can smuggle one in, a value that holds `${{` is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from app.domain.json import Json
from app.domain.placeholders import text_of

MAX_TEXT = 2_048
"""Bytes of one expression."""
MAX_INPUT = 65_536
"""Bytes of all values, as JSON, that one evaluation is given."""
OPENING, CLOSING = "${{", "}}"
_EMBEDDED = re.compile(r"\$\{\{((?:(?!\$\{\{).)*?)\}\}", re.DOTALL)
_PLACEHOLDER = re.compile(r"\s*parameters(\.[A-Za-z0-9_-]+)*\s*")
_MENTION = re.compile(r"(?<![\w.])(steps|inputs)\s*\.\s*([A-Za-z_]\w*)")
_ITEM = re.compile(r"(?<![\w.])(item|index)\b")


@dataclass(frozen=True, slots=True)
class Expression:
    """A text with the types (CEL's names, in lower case) of the variables that it may use."""

    text: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An expression with the values of its variables."""

    expression: Expression
    values: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no value: a message for people; `position`, from 1, where the text itself is wrong."""

    message: str
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Typed:
    """The text is right; its value is of this type (`dyn`: known only when it is evaluated)."""

    type: str


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression evaluated to."""

    value: Json


class BadValue(ValueError):
    """A value that may not be put into parameters."""


def size_fault(text: str) -> Fault | None:
    """What is wrong with the size of an expression."""
    if not text.strip():
        return Fault("is empty; write an expression such as steps.evaluate.outputs.accuracy > 0.9")
    size = len(text.encode())
    return Fault(f"is {size:,} bytes long; an expression may have {MAX_TEXT:,}") if size > MAX_TEXT else None


def steps_mentioned(text: str) -> frozenset[str]:
    """Names after `steps.` in an expression; those inside its string literals are found, too."""
    return frozenset(name for root, name in _MENTION.findall(text) if root == "steps")


def inputs_mentioned(text: str) -> frozenset[str]:
    """Names after `inputs.`, likewise."""
    return frozenset(name for root, name in _MENTION.findall(text) if root == "inputs")


def mentions_item(text: str) -> bool:
    """Whether an expression may use `item` or `index`."""
    return _ITEM.search(text) is not None


def is_whole(text: str) -> str | None:
    """The expression that a text is as a whole: `${{ steps.a.outputs.n }}`; None when there is text around it. Such
    a one may hold `}}` itself."""
    text = text.strip()
    if not (text.startswith(OPENING) and text.endswith(CLOSING)) or text.count(OPENING) != 1:
        return None
    inner = text[len(OPENING) : -len(CLOSING)]
    return None if _PLACEHOLDER.fullmatch(inner) else inner.strip()


def embedded(value: Json, path: str = "") -> Iterator[tuple[str, str]]:
    """Every expression in a value at any depth, as (path, text), in order. Placeholders of commands are left out."""
    if isinstance(value, str):
        if (whole := is_whole(value)) is not None:
            yield path, whole
            return
        for found in _EMBEDDED.finditer(value):
            if not _PLACEHOLDER.fullmatch(found[1]):
                yield path, found[1].strip()
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from embedded(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for n, inner in enumerate(value):
            yield from embedded(inner, f"{path}[{n}]")


def filled(value: Json, values: Mapping[str, Json]) -> Json:
    """`value` with each expression replaced by its value in `values`, by text. Raises BadValue, KeyError."""
    if isinstance(value, str):
        return _filled_text(value, values)
    if isinstance(value, Mapping):
        return {key: filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [filled(inner, values) for inner in value]
    return value


def _filled_text(text: str, values: Mapping[str, Json]) -> Json:
    whole = is_whole(text)
    if whole is not None:
        return _harmless(values[whole])

    def put(found: re.Match[str]) -> str:
        if _PLACEHOLDER.fullmatch(found[1]):
            return found[0]
        return text_of(_harmless(values[found[1].strip()]))

    return _EMBEDDED.sub(put, text)


def _harmless(value: Json) -> Json:
    todo = [value]
    while todo:
        here = todo.pop()
        if isinstance(here, str) and OPENING in here:
            raise BadValue("its value holds `${{`, which could be taken for a placeholder")
        if isinstance(here, Mapping):
            todo.extend((*here, *here.values()))
        elif isinstance(here, list):
            todo.extend(here)
    return value
