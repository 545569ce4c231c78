"""Inheritance: a template is a stack of layers, each the draft of one version laid over the template below it.

A draft pins the version of its base when it is stored, so a stack never changes: a new version of a base reaches a
template only with that template's next version. What a layer says wins over everything below it; objects merge key by
key, lists and declarations of parameters replace. `derive` lays one layer over the merged rest, so that merging a stack
is folding it from the bottom.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice

from app.domain.errors import MOST_ERRORS, FieldError, Invalid
from app.domain.json import Json, deep_merge
from app.domain.resources import DEFAULT_REQUEST
from app.domain.template_checks import default_errors, draft_errors, parameter_errors
from app.domain.templates import Parameter, Step, Template, TemplateDraft, infer_type, under_own_names

StepParameters = Mapping[str, tuple[Parameter, ...]]
MOST_LAYERS = 10
DEFAULT_CATEGORY = "custom"
DEFAULT_EXECUTOR = "process"


@dataclass(frozen=True, slots=True)
class Layer:
    """What one version of one template says itself."""

    template: str
    version: int
    draft: TemplateDraft

    def __str__(self) -> str:
        return f"{self.template}@{self.version}"


def refuse_bad_base(template_id: str, bases: Sequence[str]) -> None:
    """Raises Invalid when a template over these (the nearest first) would be its own ancestor, or too high a stack."""
    if template_id in bases:
        way = " → ".join([template_id, *bases[: bases.index(template_id) + 1]])
        message = f"a template cannot inherit from itself: {way}; name a base that does not"
        raise Invalid.one("base_template", message, code="template_cycle")
    if len(bases) >= MOST_LAYERS:
        message = f"at most {MOST_LAYERS} layers: {' → '.join([template_id, *bases])}; inherit from one further down"
        raise Invalid.one("base_template", message)


def derive(
    draft: TemplateDraft,
    base: Template | None,
    step_parameters: StepParameters,
    *,
    version: int = 1,
    now: datetime | None = None,
    built_in: bool = False,
) -> Template:
    """The draft laid over its base. Raises Invalid with the place in the draft of everything that is wrong with it."""
    steps = draft.execution_steps if draft.execution_steps is not None else base.execution_steps if base else ()
    declared = declared_parameters(draft, base, steps, step_parameters)
    own = own_defaults(draft, declared.values())
    defaults = deep_merge(base.default_parameters if base else {}, own)
    known = {**declared, **_inferred(declared, defaults)}
    found = chain(_untyped(draft, declared, own), _errors(draft, steps, known, defaults))
    if errors := list(islice(found, MOST_ERRORS)):
        raise Invalid(errors)
    return Template(
        id=draft.id,
        version=version,
        title=draft.title or draft.id,
        description=_first(draft.description, base and base.description, ""),
        category=_first(draft.category, base and base.category, DEFAULT_CATEGORY),
        base_template=base.id if base else None,
        base_version=base.version if base else None,
        parameters=tuple(known.values()),
        default_parameters=defaults,
        resource_requirements={
            **(base.resource_requirements if base else DEFAULT_REQUEST), **draft.resource_requirements
        },
        execution_steps=steps,
        executor=_first(draft.executor, base and base.executor, DEFAULT_EXECUTOR),
        retry_policy={**(base.retry_policy if base else {}), **draft.retry_policy},
        timeout=_first(draft.timeout, base and base.timeout, None),
        resume=_first(draft.resume, base and base.resume, None),
        built_in=built_in,
        created_at=now,
        limits=draft.limits or (base.limits if base else ()),
        stated=() if built_in else tuple(sorted({*(base.stated if base else ()), *draft.resource_requirements})),
    )  # fmt: skip


def _first(*values: Json) -> Json:
    """The first value that was said; the last one is the fallback."""
    return next((v for v in values[:-1] if v is not None), values[-1])


def declared_parameters(
    draft: TemplateDraft, base: Template | None, steps: Iterable[Step], step_parameters: StepParameters
) -> dict[str, Parameter]:
    """Parameters by name: the draft's own over the base's over those of the built-in steps."""
    known: dict[str, Parameter] = {}
    for step in steps:
        for parameter in step_parameters.get(step.step, ()):
            known.setdefault(parameter.name, parameter)
    for parameter in (*(base.parameters if base else ()), *draft.parameters):
        known[parameter.name] = parameter
    return known


def own_defaults(draft: TemplateDraft, parameters: Iterable[Parameter]) -> dict[str, Json]:
    """The defaults that the draft itself says, under the parameters' own names: those in its declarations, then
    `default_parameters`, then `custom_parameters`."""
    aliased = [p for p in parameters if p.aliases]
    said = {p.name: p.default for p in draft.parameters if p.default is not None}
    for place in ("default_parameters", "custom_parameters"):
        said = deep_merge(said, under_own_names(getattr(draft, place), aliased, place))
    return said


def _inferred(declared: Mapping[str, Parameter], defaults: Mapping[str, Json]) -> dict[str, Parameter]:
    """Parameters that nobody declared: a default adds one, of the type of its value."""
    return {name: Parameter(name, infer_type(value)) for name, value in defaults.items() if name not in declared}


def _untyped(draft: TemplateDraft, declared: Mapping[str, Parameter], own: Mapping[str, Json]) -> Iterator[FieldError]:
    for name, value in own.items():
        if value is None and name not in declared:
            place = "custom_parameters" if name in draft.custom_parameters else "default_parameters"
            remedy = "declare the parameter in `parameters`, or give it a value"
            yield FieldError(f"{place}.{name}", f"null has no type: {remedy}")


def _errors(
    draft: TemplateDraft,
    steps: tuple[Step, ...],
    known: Mapping[str, Parameter],
    defaults: Mapping[str, Json],
) -> Iterator[FieldError]:
    yield from draft_errors(draft)
    if not steps:
        yield FieldError("execution_steps", "a template needs at least one step")
    wrong = list(islice(parameter_errors(draft, known), MOST_ERRORS))
    yield from wrong
    if not wrong:
        yield from default_errors(draft, known, defaults)
