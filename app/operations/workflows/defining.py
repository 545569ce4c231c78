"""Judge a definition whole, before anything is stored: its form, what its templates refuse, what the language says of
its expressions. Every fault comes with its path; a form that is wrong is judged no further.

Ten thousand steps are some work: it gives way to others between steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

from app.domain.errors import MOST_ERRORS, FieldError, Invalid
from app.domain.specification import SubmitPolicy
from app.domain.templates import Template
from app.domain.workflows.asked import step_request_errors
from app.domain.workflows.bounds import MAX_DEFINITION
from app.domain.workflows.definition import Definition, PinnedDefinition, StepDefinition
from app.domain.workflows.secrets import given_secrets, secret_errors
from app.domain.workflows.typing import Place, expressions_of, type_error
from app.domain.workflows.validation import form_errors
from app.operations.plan import policy_of
from app.operations.templates import usable_template
from app.services import Services

GIVE_WAY = 50


async def judged(services: Services, definition: Definition, size: int, whose: str) -> PinnedDefinition:
    """The definition with the newest versions of its templates; not stored. `size`: bytes of its JSON; `whose`: the
    tenant that asks. Raises Invalid with up to a hundred faults."""
    if size > MAX_DEFINITION:
        message = f"the definition is {size:,} bytes of JSON; at most {MAX_DEFINITION:,}: keep data in files"
        raise Invalid.one("", message)
    _raise(list(islice(form_errors(definition), MOST_ERRORS)))
    templates = await _templates(services, definition)
    versions = {template_id: template.version for template_id, template in templates.items()}
    pinned = PinnedDefinition(definition, 0, versions, services.clock.now())
    errors = await _asked_errors(pinned, templates, await policy_of(services))
    errors += await _expression_errors(services, pinned, whose)
    _raise(errors)
    return pinned


def _raise(errors: list[FieldError]) -> None:
    if errors:
        raise Invalid(errors)


async def _templates(services: Services, definition: Definition) -> dict[str, Template]:
    """The newest version of each template that is named. Raises Invalid for unknown ones, with the nearest, and for
    archived ones."""
    found: dict[str, Template] = {}
    errors: dict[str, FieldError] = {}
    for name in dict.fromkeys(step.job_template for step in definition.steps):
        try:
            found[name] = await usable_template(services, name, "job_template")
        except Invalid as invalid:
            errors[name] = invalid.errors[0]
    if errors:
        told = [
            replace(errors[step.job_template], path=f"steps[{n}].job_template")
            for n, step in enumerate(definition.steps)
            if step.job_template in errors
        ]
        raise Invalid(told, code="unknown_template")
    return found


async def _asked_errors(
    pinned: PinnedDefinition, templates: Mapping[str, Template], policy: SubmitPolicy
) -> list[FieldError]:
    errors: list[FieldError] = []
    for n, step in enumerate(pinned.definition.steps):
        found = _step_errors(pinned, step, templates[step.job_template], policy)
        errors += [FieldError(f"steps[{n}].{e.path}", e.message, e.nearest) for e in found]
        if n % GIVE_WAY == GIVE_WAY - 1:
            await asyncio.sleep(0)
        if len(errors) >= MOST_ERRORS:
            break
    return errors


def _step_errors(
    pinned: PinnedDefinition, step: StepDefinition, template: Template, policy: SubmitPolicy
) -> list[FieldError]:
    apart = given_secrets(template, step.parameters)
    refused = step_request_errors(pinned, step, template, step.parameters, policy, apart)
    return [*secret_errors(pinned.definition, step, template), *refused]


async def _expression_errors(services: Services, pinned: PinnedDefinition, whose: str) -> list[FieldError]:
    places: list[Place] = []
    for n, step in enumerate(pinned.definition.steps):
        places += expressions_of(pinned, step, f"steps[{n}]")
        if n % GIVE_WAY == GIVE_WAY - 1:
            await asyncio.sleep(0)
    found = await services.expressions.check([place.expression for place in places], whose)
    told = (type_error(pinned, place, of) for place, of in zip(places, found, strict=True))
    return [error for error in told if error is not None]
