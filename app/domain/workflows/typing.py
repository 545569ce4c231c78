"""Which expressions a definition holds, over which variables each may speak, and what its faults mean for people.

An expression is checked against the variables that it names, of the types that are known: inputs as they are declared;
outputs of steps before it are `dyn`, their states text. So a step that does not exist, or does not come before, is a
fault with its position in the text when the definition is stored, not when it is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.domain.errors import FieldError
from app.domain.expression_faults import text_fault
from app.domain.expressions import (
    Expression,
    Fault,
    Typed,
    embedded,
    inputs_mentioned,
    is_whole,
    mentions_item,
    steps_mentioned,
)
from app.domain.nearest import nearest_name
from app.domain.workflows.definition import EXPRESSION_TYPES, PinnedDefinition, StepDefinition
from app.domain.workflows.secrets import handed, used_wrongly

_UNDECLARED = re.compile(r"undeclared reference to '((?:steps|inputs)\.\w+)")
_CONDITION, _LIST, _VALUE = frozenset({"bool", "dyn"}), frozenset({"list", "dyn"}), None


@dataclass(frozen=True, slots=True)
class Place:
    """An expression of a step where it stands. `types`: what it may give; None: anything."""

    path: str
    step: StepDefinition
    expression: Expression
    types: frozenset[str] | None


def bare(text: str) -> str:
    """The expression of a condition or a fan-out, which may stand in `${{ }}` or by itself."""
    whole = is_whole(text)
    return text if whole is None else whole


def variables_of(pinned: PinnedDefinition, step: StepDefinition, text: str, *, of_item: bool) -> dict[str, str]:
    """The variables that an expression of this step names, with their types. Secret inputs are none."""
    inputs = pinned.definition.inputs
    types = {name: EXPRESSION_TYPES.get(inputs[name].type) for name in inputs_mentioned(text) if name in inputs}
    known = {f"inputs.{name}": kind for name, kind in types.items() if kind is not None}
    for name in steps_mentioned(text):
        if pinned.graph.is_before(name, step.step_id):
            known |= {f"steps.{name}.outputs": "dyn", f"steps.{name}.status": "string"}
    return known | ({"item": "dyn", "index": "int"} if of_item and mentions_item(text) else {})


def expressions_of(pinned: PinnedDefinition, step: StepDefinition, path: str) -> Iterator[Place]:
    """All expressions of a step; secret inputs that are handed over are none."""

    def place(at: str, text: str, types: frozenset[str] | None, *, of_item: bool = False) -> Place:
        return Place(at, step, Expression(text, variables_of(pinned, step, text, of_item=of_item)), types)

    if step.when is not None:
        yield place(f"{path}.when", bare(step.when), _CONDITION)
    if isinstance(step.for_each, str):
        yield place(f"{path}.for_each", bare(step.for_each), _LIST)
    over = handed(pinned.definition, step.parameters)
    parameters = {name: value for name, value in step.parameters.items() if name not in over}
    for at, text in embedded(parameters, f"{path}.parameters"):
        yield place(at, text, _VALUE, of_item=step.for_each is not None)


def type_error(pinned: PinnedDefinition, place: Place, found: Typed | Fault) -> FieldError | None:
    """What is wrong with an expression, given what the language says of it."""
    if isinstance(found, Fault):
        return _fault(pinned, place, found)
    if place.types is None or found.type in place.types:
        return None
    wanted = "true or false" if place.types is _CONDITION else "a list"
    return FieldError(place.path, f"must give {wanted}, not {found.type}: {_short(place.expression.text)}")


def _fault(pinned: PinnedDefinition, place: Place, fault: Fault) -> FieldError:
    name = _UNDECLARED.search(fault.message)
    if name is not None:
        message, near = _unknown(pinned, place, name[1])
    else:
        message, near = text_fault(place.expression.text, fault.message)
    where = "" if fault.position is None else f" (position {fault.position})"
    return FieldError(place.path, f"{message}{where}: {_short(place.expression.text)}", near)


def _unknown(pinned: PinnedDefinition, place: Place, name: str) -> tuple[str, str | None]:
    root, _, what = name.partition(".")
    if root == "inputs" and what in pinned.definition.inputs:
        return used_wrongly(what), None
    if root == "inputs":
        near = nearest_name(what, pinned.definition.inputs)
        return f"unknown input {what[:80]}" + (f"; did you mean {near}?" if near else "; define it in inputs"), near
    if what in pinned.steps:
        before = pinned.graph.is_before(what, place.step.step_id)
        hint = f"has outputs and status; write steps.{what}.outputs" if before else (
            f"does not come before {place.step.step_id}; add it to depends_on"
        )  # fmt: skip
        return f"step {what} {hint}", None
    near = nearest_name(what, pinned.steps)
    return f"unknown step {what[:80]}" + (f"; did you mean {near}?" if near else ""), near


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "…"
