"""Templates: what a job is made from. Inheritance, typed parameters, and refusals that name the nearest known name.

A *draft* is one layer as a user wrote it. `derive` lays it over its base and gives a whole template; versions are
immutable, a job pins one and stores the resolved result. Objects merge deep, lists replace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.errors import FieldError, Invalid
from app.domain.json import Json, deep_merge
from app.domain.nearest import nearest_name, unknown_name
from app.domain.patterns import matches, pattern_fault
from app.domain.resources import DEFAULT_REQUEST

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
    """One layer of a template as it was written; None means: not said here."""

    id: str
    title: str | None = None
    description: str | None = None
    category: str | None = None
    base_template: str | None = None
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
    """A whole template at one version: all layers merged. `stated`: resources that a layer of a user asks for."""

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
    stated: tuple[str, ...] = ()
    schema: Schema = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", Schema.of(self.parameters, self.default_parameters))


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


def infer_type(value: Json) -> str:
    """The parameter type of a value; None may be anything, so it is an object."""
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object"


def derive(
    draft: TemplateDraft,
    base: Template | None,
    step_parameters: Mapping[str, tuple[Parameter, ...]],
    *,
    version: int = 1,
    now: datetime | None = None,
    built_in: bool = False,
) -> Template:
    """The draft laid over its base. Raises Invalid with the path of everything that is wrong with the result."""
    steps = draft.execution_steps or (base.execution_steps if base else ())
    defaults = deep_merge(base.default_parameters if base else {}, draft.default_parameters)
    defaults = deep_merge(defaults, draft.custom_parameters)
    parameters = _merge_parameters(draft, base, steps, defaults, step_parameters)
    defaults = _canonical(defaults, parameters, "default_parameters")
    template = Template(
        id=draft.id,
        version=version,
        title=draft.title or draft.id,
        description=_first(draft.description, base and base.description, ""),
        category=_first(draft.category, base and base.category, "custom"),
        base_template=base.id if base else None,
        base_version=base.version if base else None,
        parameters=parameters,
        default_parameters=defaults,
        resource_requirements=deep_merge(
            base.resource_requirements if base else DEFAULT_REQUEST, draft.resource_requirements
        ),
        execution_steps=steps,
        executor=_first(draft.executor, base and base.executor, "process"),
        retry_policy={**(base.retry_policy if base else {}), **draft.retry_policy},
        timeout=draft.timeout if draft.timeout is not None else (base.timeout if base else None),
        resume=_first(draft.resume, base and base.resume, None),
        built_in=built_in,
        created_at=now,
        limits=draft.limits or (base.limits if base else ()),
        stated=() if built_in else tuple(sorted({*(base.stated if base else ()), *draft.resource_requirements})),
    )
    if errors := list(_template_errors(template)):
        raise Invalid(errors)
    return template


def _first(*values: Json) -> Json:
    """The first value that was said; the last one is the fallback."""
    return next((v for v in values[:-1] if v is not None), values[-1])


def _merge_parameters(
    draft: TemplateDraft,
    base: Template | None,
    steps: tuple[Step, ...],
    defaults: Mapping[str, Json],
    step_parameters: Mapping[str, tuple[Parameter, ...]],
) -> tuple[Parameter, ...]:
    """Known parameters: own over the base's over those of the built-in steps; defaults add what nobody declared."""
    known: dict[str, Parameter] = {}
    for step in steps:
        for parameter in step_parameters.get(step.step, ()):
            known.setdefault(parameter.name, parameter)
    for parameter in (*(base.parameters if base else ()), *draft.parameters):
        known[parameter.name] = parameter
    taken = {name for p in known.values() for name in (p.name, *p.aliases)}
    for name, value in defaults.items():
        if name not in taken:
            known[name] = Parameter(name, infer_type(value), default=value)
    return tuple(known.values())


def _template_errors(template: Template) -> Iterator[FieldError]:
    if not template.execution_steps:
        yield FieldError("execution_steps", "a template needs at least one step")
    seen: set[str] = set()
    for n, step in enumerate(template.execution_steps):
        if step.step in seen:
            yield FieldError(f"execution_steps[{n}].step", f"{step.step} stands twice; step names are unique")
        seen.add(step.step)
    for n, parameter in enumerate(template.parameters):
        yield from _parameter_errors(parameter, f"parameters[{n}]")
    by_name = {p.name: p for p in template.parameters}
    for name, value in template.default_parameters.items():
        yield from value_errors(by_name[name], value, f"default_parameters.{name}")


def _parameter_errors(parameter: Parameter, path: str) -> Iterator[FieldError]:
    if parameter.type not in PARAMETER_TYPES:
        message, near = unknown_name("type", parameter.type, PARAMETER_TYPES)
        yield FieldError(f"{path}.type", message, near)
        return
    if parameter.pattern is not None and (wrong := pattern_fault(parameter.pattern)):
        yield FieldError(f"{path}.pattern", f"not a regular expression that can be matched in linear time: {wrong}")
        return
    if parameter.default is not None:
        yield from value_errors(parameter, parameter.default, f"{path}.default")


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
        yield FieldError(path, f"must be of type {parameter.type}, got {infer_type(value)}")
        return
    checked: Any = value  # mypy narrows Json to object by the isinstance above
    if parameter.options is not None and value not in parameter.options:
        near = nearest_name(str(value), [str(o) for o in parameter.options])
        hint = f"; did you mean {near}?" if near else ""
        yield FieldError(path, f"must be one of {', '.join(map(str, parameter.options))}{hint}", near)
    elif parameter.minimum is not None and checked < parameter.minimum:
        yield FieldError(path, f"must be at least {parameter.minimum:g}, got {checked:g}")
    elif parameter.maximum is not None and checked > parameter.maximum:
        yield FieldError(path, f"must be at most {parameter.maximum:g}, got {checked:g}")
    elif parameter.pattern is not None and not matches(parameter.pattern, checked):
        yield FieldError(path, f"must match {parameter.pattern}")


def _canonical(given: Mapping[str, Json], parameters: Iterable[Parameter], path: str) -> dict[str, Json]:
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
    return _canonical(given, template.schema.aliased, "parameters")


def resolve_parameters(template: Template, given: Mapping[str, Json]) -> dict[str, Json]:
    """The request's parameters over the template's defaults, checked. Raises Invalid with all errors at once.

    The defaults were checked when the template was made, so only what was given is checked here, merged.
    """
    schema = template.schema
    if unknown := given.keys() - schema.names:
        raise Invalid(
            FieldError(f"parameters.{n}", *unknown_name("parameter", n, schema.names)) for n in sorted(unknown)
        )
    canonical = canonical_parameters(template, given)
    merged = deep_merge(schema.defaults, canonical)
    errors = [e for n in canonical for e in value_errors(schema.by_name[n], merged[n], f"parameters.{n}")]
    errors += [FieldError(f"parameters.{p.name}", _missing(p)) for p in schema.required if merged.get(p.name) is None]
    if errors:
        raise Invalid(errors)
    return merged


def _missing(parameter: Parameter) -> str:
    options = f", one of {', '.join(map(str, parameter.options))}" if parameter.options else ""
    return f"is required ({parameter.type}{options})"
