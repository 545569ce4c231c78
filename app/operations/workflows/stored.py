"""Stored definitions: found by name, and as they may be shown."""

from __future__ import annotations

from dataclasses import replace

from app.domain.errors import NotFound
from app.domain.ids import is_name_id
from app.domain.nearest import nearest_name
from app.domain.secrets import without_secrets
from app.domain.templates import Template, secret_names
from app.domain.workflows.definition import Definition, PinnedDefinition, StepDefinition
from app.domain.workflows.secrets import handed
from app.operations.plan import template_of
from app.services import Services

KIND = "workflow definition"
NAMES = 1_000
"""Names among which the nearest is looked for."""


async def stored_definition(services: Services, name: str, version: int | None = None) -> PinnedDefinition:
    """That version, else the newest. Raises NotFound with the nearest name."""
    pinned = await services.definitions.get(name, version) if is_name_id(name) else None
    if pinned is not None:
        return pinned
    known = [row.name for row in await services.definitions.page(NAMES)]
    if version is not None and name in known:
        raise NotFound(KIND, f"{name} version {version}")
    raise NotFound(KIND, name[:80], nearest_name(name, known))


async def shown(services: Services, pinned: PinnedDefinition) -> Definition:
    """The definition as it was written, but for values of secret parameters, which one of an earlier release may hold:
    they read `***`."""
    templates = {name: await template_of(services, name, version) for name, version in pinned.templates.items()}
    written = pinned.definition
    steps = (_without_secrets(written, step, templates[step.job_template]) for step in written.steps)
    return replace(written, steps=tuple(steps))


def _without_secrets(definition: Definition, step: StepDefinition, template: Template) -> StepDefinition:
    """What hands a secret over is none."""
    names = secret_names(template) - handed(definition, step.parameters).keys()
    return replace(step, parameters=without_secrets(step.parameters, names)) if names else step
