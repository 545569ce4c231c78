"""Define templates and register data sets, over ports: what must hold before one is stored."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from app.domain.builtin_templates import builtin_templates
from app.domain.datasets import BUILT_IN, TABLE_SUFFIXES, check_reference
from app.domain.errors import AlreadyExists, BadDataset, Conflict, Invalid, NotFound
from app.domain.ids import is_name_id
from app.domain.json import unsafe_places
from app.domain.nearest import nearest_name, unknown_name
from app.domain.records import Dataset
from app.domain.request_checks import limit_errors, retry_errors
from app.domain.resources import request_errors
from app.domain.step_catalog import STEP_PARAMETERS
from app.domain.step_checks import template_errors
from app.domain.templates import Template, TemplateDraft, derive
from app.services import Services
from app.storage.tables import table_facts

NAME_RULE = "must be 1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter or digit"


async def create_template(services: Services, draft: TemplateDraft) -> Template:
    """Store the draft laid over its base as version 1. Raises Invalid, and AlreadyExists for a taken id."""
    if not is_name_id(draft.id):
        raise Invalid.one("name", NAME_RULE)
    if draft.id in builtin_templates():
        raise AlreadyExists("template", draft.id, "it is built in; choose another name", "built_in")
    errors = [
        *unsafe_places(draft.default_parameters, "default_parameters"),
        *unsafe_places(draft.custom_parameters, "custom_parameters"),
        *request_errors(draft.resource_requirements, "resource_requirements"),
        *retry_errors(draft.retry_policy),
        *limit_errors(draft.limits, services.settings.limits.concurrency),
    ]
    if errors:
        raise Invalid(errors)
    base = None if draft.base_template is None else await _base(services, draft.base_template)
    template = derive(draft, base, STEP_PARAMETERS, now=services.clock.now())
    if wrong := list(template_errors(template)):
        raise Invalid(wrong)
    if not await services.templates.insert(draft, template):
        remedy = "versions are immutable: choose another name (PUT for a new version comes with a later release)"
        raise AlreadyExists("template", draft.id, remedy, "template_exists")
    return template


async def _base(services: Services, template_id: str) -> Template:
    base = await services.templates.get(template_id) if is_name_id(template_id) else None
    if base is None:
        known = [t.id for t in await services.templates.all()]
        message, near = unknown_name("template", template_id, known)
        raise Invalid.one("base_template", message, code="unknown_template", nearest=near)
    return base


async def get_template(services: Services, template_id: str, version: int | None) -> Template:
    """The template at that version, else the newest. Raises NotFound with the nearest id."""
    template = await services.templates.get(template_id, version)
    if template is None and version is not None and await services.templates.get(template_id) is not None:
        raise NotFound("template", f"{template_id} version {version}")
    if template is None:
        raise NotFound(
            "template", template_id, nearest_name(template_id, [t.id for t in await services.templates.all()])
        )
    return template


async def register_dataset(services: Services, dataset: Dataset) -> Dataset:
    """Store a name for a file below the data root, with what the file says of itself where it is here. The file itself
    is read by the job that names it."""
    if not is_name_id(dataset.name):
        raise Invalid.one("name", NAME_RULE)
    if dataset.name in BUILT_IN:
        raise AlreadyExists("data set", dataset.name, "it is built in; choose another name", "built_in")
    try:
        check_reference(dataset.path)
    except BadDataset as bad:
        raise BadDataset(bad.errors[0].message, "path") from None
    if not dataset.path.lower().endswith(TABLE_SUFFIXES):
        raise BadDataset(f"must be a file that ends in {' or '.join(TABLE_SUFFIXES)}", "path")
    facts = await asyncio.to_thread(table_facts, services.settings.data.root, dataset.path)
    stored = replace(dataset, registered_at=services.clock.now(), facts=facts)
    if not await services.datasets.insert(stored):
        raise AlreadyExists("data set", dataset.name, "DELETE it first, or choose another name", "dataset_exists")
    return stored


async def get_dataset(services: Services, name: str) -> Dataset:
    """A registered data set. Raises NotFound with the nearest name."""
    dataset = await services.datasets.get(name) if is_name_id(name) else None
    if dataset is None:
        known = [*BUILT_IN, *(d.name for d in await services.datasets.all())]
        raise NotFound("data set", name[:80], nearest_name(name, known))
    return dataset


async def delete_dataset(services: Services, name: str) -> None:
    """Forget the name; the file stays. Raises NotFound, and Conflict for a built-in one."""
    if name in BUILT_IN:
        raise Conflict(f"Data set {name} is built in and cannot be removed.", code="built_in")
    if not is_name_id(name) or not await services.datasets.delete(name):
        raise NotFound("data set", name[:80])
