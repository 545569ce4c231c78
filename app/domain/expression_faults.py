"""What is wrong with an expression, for whoever wrote it: CEL speaks of tokens, overloads and maps.

A message that is not known here stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from app.domain.expressions import Evaluation, Fault, Value
from app.domain.nearest import nearest_name, unknown_name

_LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"")
_OF_OTHER_LANGUAGES = {"and": "&&", "or": "||", "not": "!"}
_ASSIGNMENT = re.compile(r"(?<![=!<>])=(?!=)")
_UNDECLARED = re.compile(r"undeclared reference to '(\w+)")
_ROOTS, _ITEM_ROOTS, _CONSTANTS = ("inputs", "steps"), ("item", "index"), ("true", "false", "null")
_NO_KEY = re.compile(r'Key not found in map : "(.*)"')
_NO_OVERLOAD = re.compile(r"No matching overloads? found : (\S+?)\((.*?)\)")
_UNFIT = re.compile(r"found no matching overload for '(\S+?)' applied to '\((.*?)\)'")


def text_fault(text: str, message: str) -> tuple[str, str | None]:
    """CEL's message about a text that is wrong, with the remedy, and the nearest name."""
    if found := _UNDECLARED.search(message):
        return _unknown_root(found[1])
    if unfit := _UNFIT.search(message):
        return _does_not_take(*unfit.groups()), None
    if not message.startswith("Syntax error"):
        return message, None
    plain = _LITERAL.sub("''", text)
    words = [word for word in _OF_OTHER_LANGUAGES if re.search(rf"(?<![\w.]){word}\b", plain)]
    hints = [f"{_OF_OTHER_LANGUAGES[word]} for {word}" for word in words]
    hints += ["== for ="] if _ASSIGNMENT.search(plain) else []
    return message + (f"; write {', '.join(hints)}" if hints else ""), None


def _unknown_root(name: str) -> tuple[str, str | None]:
    if name in _ITEM_ROOTS:
        return f"{name} is known in the parameters of a step with for_each, and nowhere else", None
    near = nearest_name(name, (*_ROOTS, *_ITEM_ROOTS, *_CONSTANTS))
    if near:
        return f"unknown name {name[:80]}; did you mean {near}?", near
    return f"unknown name {name[:80]}; write inputs.NAME, steps.ID.outputs or steps.ID.status", None


def said_of(wanted: Evaluation, found: Value | Fault) -> Value | Fault:
    """What came of an evaluation; a fault says what there is in place of what there is not."""
    if isinstance(found, Value):
        return found
    if missing := _NO_KEY.search(found.message):
        keys = {key for value in wanted.values.values() if isinstance(value, Mapping) for key in value}
        return replace(found, message=unknown_name("key", missing[1], keys)[0])
    if unfit := _NO_OVERLOAD.search(found.message):
        return replace(found, message=_does_not_take(*unfit.groups()))
    return found


def _does_not_take(function: str, types: str) -> str:
    """`_>_` of `double, string`: `> does not take double and string`."""
    given = " and ".join(types.replace("int64", "int").split(", "))
    return f"{function.strip('_')} does not take {given or 'nothing'}"
