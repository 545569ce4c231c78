"""Which layer gave each value: of a template, and of a job made from it.

A value is a leaf of the merged template: objects merge key by key, so each key has an origin of its own; lists and
declarations of parameters are replaced whole, so each has one. It comes from the topmost layer that says anything at
its path; what no layer says comes from a built-in step, or is the service's default. `hidden` tells what the layers
below said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.domain.json import Json, Place, json_leaves
from app.domain.layers import Layer, StepParameters, own_defaults
from app.domain.templates import Parameter, Step, Template

Said = Mapping[str, Any]
DECLARATIONS, DEFAULTS = "parameters", "default_parameters"


class Source(StrEnum):
    """What kind of thing gave a value."""

    TEMPLATE = "template"
    STEP = "step"
    DEFAULT = "default"
    REQUEST = "request"
    RETRY = "retry"
    SETTING = "setting"
    SIZING = "sizing"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Hidden:
    """What a layer further down says at the same place."""

    layer: str
    value: Json


@dataclass(frozen=True, slots=True)
class Origin:
    """A value and what gave it. `layer`: `{template id}@{version}` where it was a template; `step`: the built-in step
    that declares it; `seq`: the history entry of a retry; `setting`: the variable."""

    path: str
    value: Json
    source: Source
    layer: str | None = None
    step: str | None = None
    seq: int | None = None
    setting: str | None = None
    hidden: tuple[Hidden, ...] = ()


def template_origins(template: Template, layers: Sequence[Layer], step_parameters: StepParameters) -> list[Origin]:
    """The origin of every value of the template. `layers`: its own first, then its base's, and so on down."""
    said = [(str(layer), stated(layer, template)) for layer in layers]
    said[1:] = [(name, {k: v for k, v in below.items() if k != "title"}) for name, below in said[1:]]
    introduced = _introduced(layers, template, step_parameters)
    return [_origin(place, value, said, introduced) for place, value in leaves(facts(template))]


def _origin(
    place: Place, value: Json, said: Sequence[tuple[str, Said]], introduced: Mapping[str, tuple[Source, str]]
) -> Origin:
    found = [(layer, what[0]) for layer, document in said if (what := _at(document, place))]
    path = ".".join(place)
    if found:
        hidden = tuple(Hidden(layer, what) for layer, what in found[1:])
        return Origin(path, value, Source.TEMPLATE, found[0][0], hidden=hidden)
    source, by = introduced.get(place[1], (Source.DEFAULT, "")) if len(place) > 1 else (Source.DEFAULT, "")
    if place[0] == DECLARATIONS and source is Source.TEMPLATE:
        return Origin(path, value, source, by)
    if place[0] in {DECLARATIONS, DEFAULTS} and source is Source.STEP:
        return Origin(path, value, source, step=by)
    return Origin(path, value, Source.DEFAULT)


def facts(template: Template) -> dict[str, Json]:
    """The template as one nested object: what is explained, and what two versions are compared by."""
    return {
        "title": template.title,
        "description": template.description,
        "category": template.category,
        DECLARATIONS: {p.name: declaration(p) for p in template.parameters},
        DEFAULTS: dict(template.schema.defaults),
        "resource_requirements": dict(template.resource_requirements),
        "execution_steps": [step_facts(s) for s in template.execution_steps],
        "executor": template.executor,
        "retry_policy": dict(template.retry_policy),
        "timeout": template.timeout,
        "resume": template.resume,
        "limits": list(template.limits),
    }


def stated(layer: Layer, template: Template) -> dict[str, Json]:
    """What the layer says, as `facts` has it. `template`: the merged one, which knows other names of parameters."""
    draft = layer.draft
    single = ("title", "description", "category", "executor", "timeout", "resume")
    steps = draft.execution_steps
    return {
        **{name: getattr(draft, name) for name in single if getattr(draft, name) is not None},
        DECLARATIONS: {p.name: declaration(p) for p in draft.parameters},
        DEFAULTS: own_defaults(draft, template.parameters),
        "resource_requirements": dict(draft.resource_requirements),
        **({} if steps is None else {"execution_steps": [step_facts(s) for s in steps]}),
        "retry_policy": dict(draft.retry_policy),
        **({"limits": list(draft.limits)} if draft.limits else {}),
    }


def declaration(parameter: Parameter) -> dict[str, Json]:
    """A parameter without its name and its default, which is told with the defaults."""
    return {
        "type": parameter.type,
        "required": parameter.required,
        "options": None if parameter.options is None else list(parameter.options),
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "pattern": parameter.pattern,
        "description": parameter.description,
        "aliases": list(parameter.aliases),
    }


def step_facts(step: Step) -> dict[str, Json]:
    """A step as it is answered."""
    command = None if step.command is None else list(step.command)
    return {"step": step.step, "timeout": step.timeout, "command": command, "env": dict(step.env)}


def leaves(document: Said) -> Iterator[tuple[Place, Json]]:
    """The values of an object as `facts` makes it, each with its place; a declaration is one value."""
    for section, value in document.items():
        if section == DECLARATIONS:
            yield from (((section, name), declared) for name, declared in value.items())
        else:
            yield from json_leaves(value, (section,)) if isinstance(value, dict) else [((section,), value)]


def _at(document: Said, place: Place) -> tuple[Json] | None:
    here: Any = document
    for key in place:
        if not isinstance(here, Mapping) or key not in here:
            return None
        here = here[key]
    return (here,)


def _introduced(
    layers: Sequence[Layer], template: Template, step_parameters: StepParameters
) -> dict[str, tuple[Source, str]]:
    """Which step, or which layer by giving it a default, first made each parameter known."""
    known: dict[str, tuple[Source, str]] = {}
    steps: tuple[Step, ...] = ()
    for layer in reversed(layers):
        steps = layer.draft.execution_steps if layer.draft.execution_steps is not None else steps
        for step in steps:
            for parameter in step_parameters.get(step.step, ()):
                known.setdefault(parameter.name, (Source.STEP, step.step))
        for name in own_defaults(layer.draft, template.parameters):
            known.setdefault(name, (Source.TEMPLATE, str(layer)))
    return known
