"""What is wrong with a draft, each fault with its place in the draft and the remedy.

Everything that stands below a draft was checked when it was made, so a fault is always something that the draft says: a
default that it gives, or a declaration that does not go with a default that it inherits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from app.domain.errors import FieldError
from app.domain.ids import STEP_ID
from app.domain.job import EXECUTORS
from app.domain.json import Json, is_storable_key, unsafe_places
from app.domain.nearest import unknown_name
from app.domain.patterns import HEAVIEST, pattern_fault, weight
from app.domain.request_checks import retry_errors, seconds_errors
from app.domain.resources import request_errors
from app.domain.templates import PARAMETER_TYPES, Parameter, Step, TemplateDraft, value_errors

MOST_PARAMETERS = 500
MOST_NAMES = 1_000
"""Names of parameters, their other names among them."""
MOST_STEPS = 100
MOST_OPTIONS = 1_000
MOST_DEFAULT_BYTES = 1 << 20
RESUME = ("completed_steps",)
_NUMBERS, _TEXTS = ("integer", "number"), ("string", "secret")
_BAD_KEY = "must not be empty, start with `$`, or hold `.` or NUL"


def draft_errors(draft: TemplateDraft) -> Iterator[FieldError]:
    """Faults that show without the base: everything but parameters."""
    yield from unsafe_places(dict(draft.default_parameters), "default_parameters")
    yield from unsafe_places(dict(draft.custom_parameters), "custom_parameters")
    yield from request_errors(draft.resource_requirements, "resource_requirements")
    yield from retry_errors(draft.retry_policy)
    yield from seconds_errors(draft.timeout, "timeout")
    yield from _step_errors(draft.execution_steps or ())
    for place, value, known in (("executor", draft.executor, EXECUTORS), ("resume", draft.resume, RESUME)):
        if value is not None and value not in known:
            yield FieldError(place, *unknown_name(place, value, known))


def _step_errors(steps: tuple[Step, ...]) -> Iterator[FieldError]:
    if len(steps) > MOST_STEPS:
        yield FieldError("execution_steps", f"at most {MOST_STEPS}, got {len(steps):,}")
        return
    seen: set[str] = set()
    for n, step in enumerate(steps):
        place = f"execution_steps[{n}]"
        if not STEP_ID.fullmatch(step.step):
            rule = "must be 1 to 63 characters of a-z, 0-9 and _, not beginning with a digit"
            yield FieldError(f"{place}.step", rule)
        elif step.step in seen:
            yield FieldError(f"{place}.step", f"{step.step} stands twice; step names are unique")
        if step.command is not None and not any(step.command[:1]):
            yield FieldError(f"{place}.command", 'must be an argument list such as ["python", "train.py"]')
        yield from seconds_errors(step.timeout, f"{place}.timeout")
        seen.add(step.step)


def parameter_errors(draft: TemplateDraft, known: Mapping[str, Parameter]) -> Iterator[FieldError]:
    """Faults of the draft's declarations; `known`: all parameters of the template, the draft's among them."""
    if len(known) > MOST_PARAMETERS:
        yield FieldError("parameters", f"a template knows at most {MOST_PARAMETERS} parameters, got {len(known):,}")
        return
    if (names := sum(1 + len(p.aliases) for p in known.values())) > MOST_NAMES:
        message = f"with their aliases a template knows at most {MOST_NAMES:,} names of parameters, got {names:,}"
        yield FieldError("parameters", message)
        return
    weights = [weight(p.pattern) for p in known.values() if p.pattern is not None]
    if sum(each for each in weights if each <= HEAVIEST) > HEAVIEST:
        yield FieldError("parameters", "their patterns are too much together; match less, or count fewer repetitions")
        return
    owner = {alias: p.name for p in known.values() for alias in p.aliases}
    first: dict[str, int] = {}
    for n, parameter in enumerate(draft.parameters):
        place = f"parameters[{n}]"
        if first.setdefault(parameter.name, n) != n:
            yield FieldError(f"{place}.name", f"{parameter.name} stands twice")
        yield from _name_errors(parameter, known, owner, place)
        yield from _declaration_errors(parameter, place)
    yield from _secret_errors(draft, known)


def _name_errors(
    parameter: Parameter, known: Mapping[str, Parameter], owner: Mapping[str, str], place: str
) -> Iterator[FieldError]:
    if not is_storable_key(parameter.name):
        yield FieldError(f"{place}.name", _BAD_KEY)
    if (other := owner.get(parameter.name, parameter.name)) != parameter.name:
        yield FieldError(f"{place}.name", f"{parameter.name} is another name of {other}; choose another")
    for n, alias in enumerate(parameter.aliases):
        if not is_storable_key(alias):
            yield FieldError(f"{place}.aliases[{n}]", _BAD_KEY)
        elif alias in known or owner.get(alias, parameter.name) != parameter.name or alias in parameter.aliases[:n]:
            yield FieldError(f"{place}.aliases[{n}]", f"{alias} is taken; choose another")


def _declaration_errors(parameter: Parameter, place: str) -> Iterator[FieldError]:
    if parameter.type not in PARAMETER_TYPES:
        yield FieldError(f"{place}.type", *unknown_name("type", parameter.type, PARAMETER_TYPES))
        return
    yield from _bound_errors(parameter, place)
    if parameter.pattern is not None and parameter.type not in _TEXTS:
        yield FieldError(f"{place}.pattern", f"only a string has a pattern, not {parameter.type}; leave it out")
    elif parameter.pattern is not None and (wrong := pattern_fault(parameter.pattern)):
        message = f"not a regular expression that can be matched in linear time: {wrong}"
        yield FieldError(f"{place}.pattern", message)
    else:
        yield from _option_errors(parameter, place)
    yield from unsafe_places(parameter.default, f"{place}.default")


def _bound_errors(parameter: Parameter, place: str) -> Iterator[FieldError]:
    for name in ("minimum", "maximum"):
        if getattr(parameter, name) is not None and parameter.type not in _NUMBERS:
            yield FieldError(f"{place}.{name}", f"only a number has a {name}, not {parameter.type}; leave it out")
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None and low > high:
        yield FieldError(f"{place}.minimum", f"is above the maximum, {high:g}")


def _option_errors(parameter: Parameter, place: str) -> Iterator[FieldError]:
    """Options that no value could be."""
    if parameter.options is None or parameter.type == "secret":
        return
    if not parameter.options:
        yield FieldError(f"{place}.options", "must hold at least one value; leave it out when any will do")
    if len(parameter.options) > MOST_OPTIONS:
        yield FieldError(f"{place}.options", f"at most {MOST_OPTIONS:,}, got {len(parameter.options):,}")
        return
    free = replace(parameter, options=None)
    if parameter.type not in _NUMBERS:
        free = replace(free, minimum=None, maximum=None)
    for n, option in enumerate(parameter.options):
        if option is None:
            yield FieldError(f"{place}.options[{n}]", "null is never given; leave it out")
        yield from unsafe_places(option, f"{place}.options[{n}]")
        yield from value_errors(free, option, f"{place}.options[{n}]")


def _secret_errors(draft: TemplateDraft, known: Mapping[str, Parameter]) -> Iterator[FieldError]:
    """A secret in a template would be everybody's who may read it."""
    message = "a secret has no default, since every reader of the template would know it: each job gives its own"
    secrets = {p.name: p for p in known.values() if p.type == "secret"}
    for n, parameter in enumerate(draft.parameters):
        if parameter.name in secrets and parameter.default is not None:
            yield FieldError(f"parameters[{n}].default", message)
        if parameter.name in secrets and parameter.options is not None:
            yield FieldError(f"parameters[{n}].options", "a secret has no options, since they would tell its values")
    for place in ("default_parameters", "custom_parameters"):
        given = getattr(draft, place)
        for name in (n for p in secrets.values() for n in (p.name, *p.aliases)):
            if given.get(name) is not None:
                yield FieldError(f"{place}.{name}", message)


def default_errors(
    draft: TemplateDraft, known: Mapping[str, Parameter], defaults: Mapping[str, Json]
) -> Iterator[FieldError]:
    """Merged defaults that do not go with their declarations, or are too much for every job to carry."""
    for name, value in defaults.items():
        parameter = known[name]
        place, inherited = _said_at(draft, parameter)
        if parameter.type == "secret" and value is not None:
            yield FieldError(place, "the base has a default for it, and a secret has none; choose another name")
            continue
        for error in value_errors(parameter, value, place):
            yield replace(error, message=f"the default that it inherits {error.message}") if inherited else error
    size = len(json.dumps(defaults, default=str))
    if size > MOST_DEFAULT_BYTES:
        message = f"with those of its bases they take {size >> 10:,} KiB; at most {MOST_DEFAULT_BYTES >> 10:,}"
        yield FieldError("default_parameters", f"{message}, since each job carries them")


def _said_at(draft: TemplateDraft, parameter: Parameter) -> tuple[str, bool]:
    """Where the draft gives the default of this parameter; True with the declaration that an inherited one breaks."""
    for place in ("custom_parameters", "default_parameters"):
        for name in (parameter.name, *parameter.aliases):
            if name in getattr(draft, place):
                return f"{place}.{name}", False
    for n, declared in enumerate(draft.parameters):
        if declared.name == parameter.name:
            if declared.default is not None:
                return f"parameters[{n}].default", False
            return f"parameters[{n}].{'options' if declared.options is not None else 'type'}", True
    return f"default_parameters.{parameter.name}", False
