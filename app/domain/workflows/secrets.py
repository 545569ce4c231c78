"""Secrets of workflows: how a definition hands them over, and where the values of a run and of a schedule stand.

An input of type `secret` is handed over whole, as `${{ inputs.NAME }}`, to parameters of type secret and to nothing
else: no expression ever sees it. A run and a schedule hold `***`. The values are sealed apart (`app.domain.secrets`):
that of an input under its name, that of a parameter which a rerun gave to a step under `{step}:{parameter}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from app.domain.errors import FieldError
from app.domain.expressions import is_whole
from app.domain.json import Json
from app.domain.secrets import HIDDEN, without_secrets
from app.domain.templates import Template, secret_names
from app.domain.workflows.definition import SECRET, Definition, StepDefinition

HAND_OVER = "declare an input of type secret and write `${{ inputs.NAME }}`"
_HANDED = re.compile(r"inputs\.([a-z_][a-z0-9_]*)")
_SCHEDULE = "schedule:"
_WORKFLOW = "wf_"


def secret_inputs(definition: Definition) -> frozenset[str]:
    """Names of the inputs of type secret."""
    return frozenset(name for name, each in definition.inputs.items() if each.type == SECRET)


def handed(definition: Definition, parameters: Mapping[str, Json]) -> dict[str, str]:
    """The parameters to which a secret input is handed over whole, each with the name of that input."""
    secrets = secret_inputs(definition)
    named = {name: _input_named(value) for name, value in parameters.items()} if secrets else {}
    return {name: found for name, found in named.items() if found in secrets}


def _input_named(value: Json) -> str | None:
    whole = is_whole(value) if isinstance(value, str) else None
    found = None if whole is None else _HANDED.fullmatch(whole)
    return None if found is None else found[1]


def used_wrongly(name: str) -> str:
    """What is wrong with an expression that speaks of a secret input."""
    return f"input {name} is secret: it may only be a parameter of type secret as a whole, `${{{{ inputs.{name} }}}}`"


def secret_errors(definition: Definition, step: StepDefinition, template: Template) -> Iterator[FieldError]:
    """Secrets that the definition would hold in clear, and secret inputs that are handed to what is none."""
    over, secret = handed(definition, step.parameters), secret_names(template)
    for name, value in step.parameters.items():
        if name in secret and value is not None and name not in over:
            yield FieldError(f"parameters.{name}", f"is secret, and a definition holds none: {HAND_OVER}")
        elif name in over and name in template.schema.names - secret:
            yield FieldError(f"parameters.{name}", f"is not of type secret; {used_wrongly(over[name])}")


def given_secrets(template: Template, parameters: Mapping[str, Json]) -> frozenset[str]:
    """The parameters of type secret that are given, by the names that they have there."""
    return frozenset(name for name in secret_names(template) if parameters.get(name) is not None)


def split_inputs(definition: Definition, inputs: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, str]]:
    """The inputs of a run as they are kept with it, and those to be sealed."""
    secrets = secret_inputs(definition)
    return dict(without_secrets(inputs, secrets)), {name: inputs[name] for name in secrets if name in inputs}


def split_parameters(
    template: Template, step_id: str, parameters: Mapping[str, Json]
) -> tuple[dict[str, Json], dict[str, str]]:
    """What a rerun gives to a step as it is kept with the run, and what is to be sealed."""
    secrets = given_secrets(template, parameters)
    return dict(without_secrets(parameters, secrets)), {_key(step_id, name): parameters[name] for name in secrets}


def revealed(
    definition: Definition, step_id: str, parameters: Mapping[str, Json], values: Mapping[str, str]
) -> dict[str, str | None]:
    """The parameters of a step whose values stand apart, with them; None for one that is not there any more."""
    rerun = {
        name: values[key]
        for name, value in parameters.items()
        if value == HIDDEN and (key := _key(step_id, name)) in values
    }
    return {name: values.get(of) for name, of in handed(definition, parameters).items()} | rerun


def _key(step_id: str, parameter: str) -> str:
    return f"{step_id}:{parameter}"


def owner_of_schedule(name: str) -> str:
    """Whose the secrets of a schedule are. No id of a job, a batch or a workflow looks like it."""
    return f"{_SCHEDULE}{name}"


def schedule_of(owner: str) -> str | None:
    """The name of the schedule whose secrets they are; None when they are something else's."""
    return owner.removeprefix(_SCHEDULE) if owner.startswith(_SCHEDULE) else None


def is_of_workflow(owner: str) -> bool:
    """Whether the secrets are those of a run of a workflow."""
    return owner.startswith(_WORKFLOW)
