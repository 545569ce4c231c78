"""Templates: what a job is made from. Typed parameters, and refusals that name the nearest known name.

A *draft* is one layer as a user wrote it; `app.domain.layers` lays it over its base and gives a whole template.
Versions are immutable, a job pins one and stores the resolved result. Objects merge deep, lists replace. A parameter of
type `secret` has no default: each job gives its own, which is stored apart from it (`app.domain.secrets`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.errors import FieldError, Invalid
from app.domain.json import Json, deep_merge
from app.domain.nearest import nearest_name, unknown_name
from app.domain.patterns import matches
from app.domain.resources import Vector

MOST_UNKNOWN = 10
"""Unknown parameters of a request that are told: each is compared with all names that the template knows."""
PARAMETER_TYPES = ("string", "integer", "number", "boolean", "object", "array", "secret")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A typed parameter. `minimum`/`maximum` bound numbers, `pattern` a string as a whole, `aliases` are other
    names."""

    name: str
    type: str
    required: bool = False
    default: Json = None
    options: tuple[Json, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    description: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One execution step. `command` is an argument list for steps of the user's own; `timeout` in seconds."""

    step: str
    timeout: float | None = None
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TemplateDraft:
    """One layer of a template as it was written; None means: not said here. No `base_version` is the newest."""

    id: str
    title: str | None = None
    description: str | None = None
    category: str | None = None
    base_template: str | None = None
    base_version: int | None = None
    parameters: tuple[Parameter, ...] = ()
    default_parameters: Mapping[str, Json] = field(default_factory=dict)
    custom_parameters: Mapping[str, Json] = field(default_factory=dict)
    resource_requirements: Mapping[str, float] = field(default_factory=dict)
    execution_steps: tuple[Step, ...] | None = None
    executor: str | None = None
    retry_policy: Mapping[str, Json] = field(default_factory=dict)
    timeout: float | None = None
    resume: str | None = None
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A whole template at one version: all layers merged. It is archived when its newest version is. `stated`:
    resources that a layer of a user asks for. What every submit would work out of it again is worked out once: its
    schema, the names of its steps and the vector that it requires."""

    id: str
    version: int
    title: str
    description: str
    category: str
    base_template: str | None
    base_version: int | None
    parameters: tuple[Parameter, ...]
    default_parameters: Mapping[str, Json]
    resource_requirements: Mapping[str, float]
    execution_steps: tuple[Step, ...]
    executor: str
    retry_policy: Mapping[str, Json]
    timeout: float | None
    resume: str | None
    built_in: bool
    created_at: datetime | None
    limits: tuple[str, ...] = ()
    archived_at: datetime | None = None
    stated: tuple[str, ...] = ()
    schema: Schema = field(init=False, repr=False, compare=False)
    step_names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    requirement: Vector = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", Schema.of(self.parameters, self.default_parameters))
        object.__setattr__(self, "step_names", tuple(step.step for step in self.execution_steps))
        object.__setattr__(self, "requirement", Vector.from_units(self.resource_requirements))


@dataclass(frozen=True, slots=True)
class Schema:
    """What every resolution of a template's parameters needs, worked out once: all names, and all defaults."""

    by_name: Mapping[str, Parameter]
    aliased: tuple[Parameter, ...]
    names: frozenset[str]
    defaults: Mapping[str, Json]
    required: tuple[Parameter, ...]
    secrets: tuple[str, ...]

    @classmethod
    def of(cls, parameters: tuple[Parameter, ...], defaults: Mapping[str, Json]) -> Schema:
        declared = {p.name: p.default for p in parameters if p.default is not None}
        return cls(
            by_name={p.name: p for p in parameters},
            aliased=tuple(p for p in parameters if p.aliases),
            names=frozenset(name for p in parameters for name in (p.name, *p.aliases)),
            defaults=deep_merge(declared, defaults),
            required=tuple(p for p in parameters if p.required),
            secrets=tuple(p.name for p in parameters if p.type == "secret"),
        )


def secret_names(template: Template) -> frozenset[str]:
    """The names of its secret parameters, other names among them."""
    secret = (template.schema.by_name[name] for name in template.schema.secrets)
    return frozenset(name for parameter in secret for name in (parameter.name, *parameter.aliases))


def infer_type(value: Json) -> str:
    """The parameter type of a value; None may be anything, so it is an object."""
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object"


_FITS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "secret": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list, tuple),
}


def value_errors(parameter: Parameter, value: Json, path: str) -> Iterator[FieldError]:
    """What is wrong with a value for this parameter: type, options, bounds, pattern. Null is always "not given"."""
    if value is None:
        return
    is_bool = isinstance(value, bool) and parameter.type != "boolean"
    if is_bool or not isinstance(value, _FITS[parameter.type]):
        yield FieldError(path, f"must be of type {parameter.type}, got {infer_type(value)}{_meant(parameter)}")
        return
    checked: Any = value  # mypy narrows Json to object by the isinstance above
    if parameter.options is not None and value not in parameter.options:
        near = nearest_name(str(value), [str(o) for o in parameter.options])
        hint = f"; did you mean {near}?" if near else ""
        yield FieldError(path, f"must be one of {_listed(parameter.options)}{hint}", near)
    elif parameter.minimum is not None and checked < parameter.minimum:
        yield FieldError(path, f"must be at least {parameter.minimum:g}, got {checked:g}")
    elif parameter.maximum is not None and checked > parameter.maximum:
        yield FieldError(path, f"must be at most {parameter.maximum:g}, got {checked:g}")
    elif parameter.pattern is not None and not matches(parameter.pattern, checked):
        yield FieldError(path, f"must match {parameter.pattern}")


def under_own_names(given: Mapping[str, Json], parameters: Iterable[Parameter], path: str) -> dict[str, Json]:
    """Aliases replaced by the parameter's own name. Both given and different is refused."""
    out = dict(given)
    for parameter in parameters:
        for alias in parameter.aliases:
            if alias not in out:
                continue
            value = out.pop(alias)
            if out.setdefault(parameter.name, value) != value:
                message = f"{alias} and {parameter.name} are one parameter, but differ; give one of them"
                raise Invalid.one(f"{path}.{alias}", message)
    return out


def canonical_parameters(template: Template, given: Mapping[str, Json]) -> dict[str, Json]:
    """What was given, under the parameters' own names. Raises Invalid when two names of one parameter differ."""
    return under_own_names(given, template.schema.aliased, "parameters")


def resolve_parameters(template: Template, given: Mapping[str, Json], later: Collection[str] = ()) -> dict[str, Json]:
    """The request's parameters over the template's defaults, checked; those of `later` come when the job is made.

    The defaults were checked with the template, so only what was given is, merged. Raises Invalid with all errors.
    """
    schema = template.schema
    if unknown := sorted(given.keys() - schema.names)[:MOST_UNKNOWN]:
        raise Invalid(FieldError(f"parameters.{n}", *unknown_name("parameter", n, schema.names)) for n in unknown)
    canonical = canonical_parameters(template, given)
    merged = deep_merge(schema.defaults, canonical)
    errors = [e for n in canonical for e in value_errors(schema.by_name[n], merged[n], f"parameters.{n}")]
    missing = [p for p in schema.required if merged.get(p.name) is None and p.name not in later]
    errors += [FieldError(f"parameters.{p.name}", _missing(p)) for p in missing]
    if errors:
        raise Invalid(errors)
    return merged


def _missing(parameter: Parameter) -> str:
    options = f", one of {_listed(parameter.options)}" if parameter.options else ""
    return f"is required ({parameter.type}{options}){_meant(parameter)}"


def _meant(parameter: Parameter) -> str:
    return f": {parameter.description[:200].rstrip('.')}" if parameter.description else ""


def _listed(options: tuple[Json, ...], most: int = 20) -> str:
    shown = [str(option)[:80] for option in options[:most]]
    return ", ".join(shown) + (", …" if len(options) > most else "")
