"""Stored definitions: found by name, and as they may be shown."""

from __future__ import annotations

from dataclasses import replace

from app.domain.errors import NotFound
from app.domain.ids import is_name_id
from app.domain.nearest import nearest_name
from app.domain.secrets import without_secrets
from app.domain.templates import Template
from app.domain.workflows.definition import Definition, PinnedDefinition, StepDefinition
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
    """The definition as it was written, but for values of secret parameters, which read `***`."""
    templates = {name: await template_of(services, name, version) for name, version in pinned.templates.items()}
    steps = (_without_secrets(step, templates[step.job_template]) for step in pinned.definition.steps)
    return replace(pinned.definition, steps=tuple(steps))


def _without_secrets(step: StepDefinition, template: Template) -> StepDefinition:
    """A secret may have been given under another name of its parameter."""
    secret = (template.schema.by_name[name] for name in template.schema.secrets)
    names = {name for parameter in secret for name in (parameter.name, *parameter.aliases)}
    return replace(step, parameters=without_secrets(step.parameters, names)) if names else step
