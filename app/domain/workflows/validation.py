"""Whether a definition can be a workflow: everything that is known before anything is stored, each fault with its path.

Here is its form: ids, the graph, bounds, conditions as far as their text tells. What templates say of the steps is in
`asked`, what the language says of the expressions in `typing`. A definition whose form is wrong is judged no further,
since nothing could be said of a graph that is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from app.domain.errors import FieldError
from app.domain.expressions import embedded
from app.domain.ids import STEP_ID, is_name_id
from app.domain.json import Json, unsafe_places
from app.domain.nearest import unknown_name
from app.domain.secrets import masked_errors
from app.domain.workflows.bounds import (
    MAX_ALL_EXPRESSIONS,
    MAX_APPROVAL,
    MAX_EDGES,
    MAX_EXPRESSIONS,
    MAX_INPUTS,
    MAX_ITEMS,
    MAX_MESSAGE,
    MAX_NODES,
    MAX_STEPS,
)
from app.domain.workflows.definition import (
    CONTINUE,
    FAIL,
    INPUT_TYPES,
    SECRET,
    Definition,
    InputDefinition,
    StepDefinition,
    graph_of,
)
from app.domain.workflows.graph import Cycle
from app.domain.workflows.secrets import secret_inputs

ID_RULE = "1 to 63 characters of a-z, 0-9 and _, the first a letter or _"
NAME_RULE = "1 to 63 characters of a-z, 0-9, _ and -, the first a letter or digit"
_OF_INPUT: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "object": (dict,),
    "array": (list,), SECRET: (str,),
}  # fmt: skip


def form_errors(definition: Definition) -> Iterator[FieldError]:
    """Everything that is wrong with the form of a definition, with paths such as `steps[3].depends_on[0]`."""
    if not is_name_id(definition.name):
        yield FieldError("workflow_name", f"must be {NAME_RULE}")
    yield from _input_errors(definition)
    if not 1 <= len(definition.steps) <= MAX_STEPS:
        yield FieldError("steps", f"must be 1 to {MAX_STEPS:,} steps, got {len(definition.steps):,}")
        return
    edges = sum(len(step.depends_on) for step in definition.steps)
    if edges > MAX_EDGES:
        yield FieldError("steps", f"have {edges:,} dependencies together; at most {MAX_EDGES:,}")
        return
    yield from _id_errors(definition)
    for n, step in enumerate(definition.steps):
        yield from _step_errors(step, f"steps[{n}]")
    if sum(map(_expressions, definition.steps)) > MAX_ALL_EXPRESSIONS:
        yield FieldError("steps", f"hold more than {MAX_ALL_EXPRESSIONS:,} expressions together; put some together")
    yield from _graph_errors(definition)
    items = sum(len(s.for_each) for s in definition.steps if isinstance(s.for_each, tuple))
    if items + len(definition.steps) > MAX_NODES:
        yield FieldError("steps", f"are {items + len(definition.steps):,} with all items; at most {MAX_NODES:,}")


def _input_errors(definition: Definition) -> Iterator[FieldError]:
    if len(definition.inputs) > MAX_INPUTS:
        yield FieldError("inputs", f"at most {MAX_INPUTS}")
    for name, each in definition.inputs.items():
        if not STEP_ID.fullmatch(name):
            yield FieldError(f"inputs.{name[:80]}", f"a name must be {ID_RULE}")
        if each.type not in INPUT_TYPES:
            message, near = unknown_name("type", each.type[:80], INPUT_TYPES)
            yield FieldError(f"inputs.{name[:80]}.type", message, near)
        elif each.default is not None and (wrong := _default_fault(each)):
            yield FieldError(f"inputs.{name[:80]}.default", wrong)
        yield from unsafe_places(each.default, f"inputs.{name[:80]}.default")


def _default_fault(each: InputDefinition) -> str | None:
    if each.type == SECRET:
        return "a secret has no default, since whoever reads the definition would know it; give it with each run"
    return None if fits(each.type, each.default) else f"must be of type {each.type}"


def fits(kind: str, value: Json) -> bool:
    """Whether a value is of the type of an input: a secret is text; true and false are no numbers."""
    return isinstance(value, _OF_INPUT[kind]) and (kind == "boolean" or not isinstance(value, bool))


def given_inputs(definition: Definition, given: Mapping[str, Json]) -> tuple[dict[str, Json], list[FieldError]]:
    """The inputs of a run, defaults filled in and secrets in clear, and what is wrong with those that were given."""
    errors = [
        FieldError(f"inputs.{name[:80]}", *unknown_name("input", name, definition.inputs))
        for name in given
        if name not in definition.inputs
    ]
    for name, each in definition.inputs.items():
        value = given.get(name)
        if value is None and each.default is None:
            remedy = "give it" if each.type == SECRET else "give it, or define a default"
            errors.append(FieldError(f"inputs.{name}", f"is required ({each.type}); {remedy}"))
        elif value is not None and not fits(each.type, value):
            errors.append(FieldError(f"inputs.{name}", f"must be of type {each.type}"))
        errors += unsafe_places(value, f"inputs.{name}")
    errors += masked_errors(given, secret_inputs(definition), "inputs")
    defaults = {name: each.default for name, each in definition.inputs.items()}
    return {**defaults, **{name: value for name, value in given.items() if value is not None}}, errors


def _id_errors(definition: Definition) -> Iterator[FieldError]:
    first: dict[str, int] = {}
    for n, step in enumerate(definition.steps):
        if not STEP_ID.fullmatch(step.step_id):
            yield FieldError(f"steps[{n}].step_id", f"must be {ID_RULE}")
        if step.step_id in first:
            yield FieldError(
                f"steps[{n}].step_id", f"{step.step_id[:80]} is the id of steps[{first[step.step_id]}], too"
            )
        first.setdefault(step.step_id, n)


def _step_errors(step: StepDefinition, path: str) -> Iterator[FieldError]:
    yield from unsafe_places(step.parameters, f"{path}.parameters")
    if _embedded(step) > MAX_EXPRESSIONS:
        yield FieldError(f"{path}.parameters", f"hold more than {MAX_EXPRESSIONS} expressions; put some together")
    yield from _fan_out_errors(step, path)
    yield from _approval_errors(step, path)


def _embedded(step: StepDefinition) -> int:
    """Expressions in its parameters, counted no further than one beyond what it may have."""
    return sum(1 for _ in islice(embedded(step.parameters), MAX_EXPRESSIONS + 1))


def _expressions(step: StepDefinition) -> int:
    return _embedded(step) + (step.when is not None) + isinstance(step.for_each, str)


def _fan_out_errors(step: StepDefinition, path: str) -> Iterator[FieldError]:
    if isinstance(step.for_each, tuple):
        if len(step.for_each) > MAX_ITEMS:
            yield FieldError(f"{path}.for_each", f"has {len(step.for_each):,} items; at most {MAX_ITEMS:,}")
            return
        yield from unsafe_places(list(step.for_each), f"{path}.for_each")
        for at, _ in embedded(step.for_each, f"{path}.for_each"):
            yield FieldError(at, "items are taken as they are; give the whole list as one expression ${{ … }}")
    if step.max_parallel is None:
        return
    if step.for_each is None:
        yield FieldError(f"{path}.max_parallel", "belongs to for_each, which this step has not")
    if not 1 <= step.max_parallel <= MAX_ITEMS:
        yield FieldError(f"{path}.max_parallel", f"must be 1 to {MAX_ITEMS:,}, got {step.max_parallel:,}")


def _approval_errors(step: StepDefinition, path: str) -> Iterator[FieldError]:
    approval = step.approval
    if approval is None:
        return
    if approval.timeout is not None and not 0 < approval.timeout <= MAX_APPROVAL:
        yield FieldError(f"{path}.approval.timeout", f"must be more than 0 and at most {MAX_APPROVAL:,.0f} seconds")
    if approval.default not in ("approve", "reject"):
        yield FieldError(f"{path}.approval.default", "must be approve or reject: what is taken when time is over")
    if len(approval.message) > MAX_MESSAGE:
        yield FieldError(f"{path}.approval.message", f"at most {MAX_MESSAGE:,} characters")


def _graph_errors(definition: Definition) -> Iterator[FieldError]:
    """Unknown steps, steps that wait for themselves; when all are known, cycles with their path."""
    known = {step.step_id: n for n, step in enumerate(definition.steps)}
    wrong = False
    for n, step in enumerate(definition.steps):
        for error in (*_parent_errors(step, f"steps[{n}]", known), *_handler_errors(step, n, known, definition)):
            wrong = True
            yield error
    if wrong or len(known) < len(definition.steps):
        return
    try:
        graph_of(definition)
    except Cycle as cycle:
        path = " → ".join(cycle.path[:50]) + (" → …" if len(cycle.path) > 50 else "")
        yield FieldError(f"steps[{known[cycle.path[0]]}].depends_on", f"steps wait for each other: {path}")


def _parent_errors(step: StepDefinition, path: str, known: Mapping[str, int]) -> Iterator[FieldError]:
    twice = {parent for parent, times in Counter(step.depends_on).items() if times > 1}
    for m, parent in enumerate(step.depends_on):
        if parent == step.step_id:
            yield FieldError(f"{path}.depends_on[{m}]", f"{parent} waits for itself; leave it out")
        elif parent not in known:
            message, near = unknown_name("step", parent, known)
            yield FieldError(f"{path}.depends_on[{m}]", message, near)
        elif parent in twice and step.depends_on.index(parent) != m:
            yield FieldError(f"{path}.depends_on[{m}]", f"{parent} is named twice; leave one out")


def _handler_errors(
    step: StepDefinition, n: int, known: Mapping[str, int], definition: Definition
) -> Iterator[FieldError]:
    name = step.handler
    if name is None:
        return
    if name == step.step_id:
        yield FieldError(f"steps[{n}].on_failure", f"{name[:80]} cannot be run for its own failure; name another step")
    elif name not in known:
        message, near = unknown_name("step", name, [FAIL, CONTINUE, *(s for s in known if s != step.step_id)])
        yield FieldError(f"steps[{n}].on_failure", message, near)
    elif definition.steps[known[name]].depends_on:
        message = f"steps[{n}].on_failure runs it; a step for failures has no depends_on of its own"
        yield FieldError(f"steps[{known[name]}].depends_on", message)
