"""From a request to what a submit would store: the template, the nodes, and whatever the request names, looked up."""

from __future__ import annotations

from dataclasses import replace

from app.domain.datasets import BUILT_IN, TABLE_SUFFIXES
from app.domain.errors import FieldError, Invalid
from app.domain.ids import is_name_id, is_object_id
from app.domain.nearest import unknown_name
from app.domain.records import Dataset
from app.domain.specification import JobRequest, Specification, SubmitPolicy, specify
from app.domain.step_checks import read_by_steps
from app.domain.templates import Template
from app.operations.sizing import sized
from app.operations.templates import offered_functions, usable_template
from app.services import Services

POLICY_MAX_AGE = 1.0


async def plan(services: Services, request: JobRequest, version: int | None = None) -> Specification:
    """What would be stored, by that version of the template, else by its newest. Raises Invalid with every error of the
    request, NotFound-like ones included. What has pinned its version was accepted before, whatever nodes offer now."""
    template = await template_of(services, request.template, version)
    policy = await policy_of(services)
    if version is not None:
        policy = replace(policy, functions=None)
    specification = specify(request, template, policy)
    known = await registered(services, specification)
    if errors := await reference_errors(services, specification, known):
        raise Invalid(errors)
    return await sized(services, specification, known.facts if known else None, policy)


async def policy_of(services: Services) -> SubmitPolicy:
    """What the settings and the nodes, as of a moment ago, add to every request."""
    return await services.recent.get("submit_policy", lambda: _policy(services), POLICY_MAX_AGE)


async def template_of(services: Services, template_id: str, version: int | None = None) -> Template:
    """The newest version, for a new job; that version, archived or not, for a job that has pinned it. Raises Invalid
    for an unknown one, naming the nearest, and for a new job of an archived one."""
    if version is None:
        return await usable_template(services, template_id, "template")
    template = await services.templates.get(template_id, version)
    if template is None:
        message = f"version {version} of template {template_id} is not there any more; submit a new job"
        raise Invalid.one("template", message, code="unknown_template")
    return template


async def _policy(services: Services) -> SubmitPolicy:
    nodes = await services.nodes.all()
    possible = [kind for kind in services.settings.capacity.types.values() if kind.most > 0]
    limits = services.settings.limits
    return SubmitPolicy(
        limits.job_timeout,
        limits.retry_attempts,
        capacities=(*(n.capacity for n in nodes), *(kind.capacity for kind in possible)),
        torch=not nodes or any("torch" in n.facts for n in nodes),
        limits=limits.concurrency.keys() if services.knows_limits else None,
        functions=offered_functions(services, nodes),
        labels=(*(n.labels for n in nodes), *(kind.all_labels for kind in possible)),
    )


async def registered(services: Services, specification: Specification) -> Dataset | None:
    """The data set that its steps read, where that is a registered one."""
    name = _read(specification, "dataset_name")
    if name is None or _is_no_entry(name) or not is_name_id(name):
        return None
    return await services.datasets.get(name)


def _read(specification: Specification, parameter: str) -> str | None:
    """What its steps read under that name, where it is a text."""
    value = specification.parameters.get(parameter) if parameter in read_by_steps(specification.template) else None
    return value if isinstance(value, str) else None


async def reference_errors(
    services: Services, specification: Specification, registered: Dataset | None
) -> list[FieldError]:
    """Data set names and models that lead nowhere. A file is the node's to find: only there it can be looked for."""
    errors = []
    name, model = _read(specification, "dataset_name"), _read(specification, "model")
    if name is not None and registered is None and not _is_no_entry(name):
        known = [*BUILT_IN, *(d.name for d in await services.datasets.all())]
        message, near = unknown_name("data set", name[:80], known)
        message = f"{message} (a file ends in {' or '.join(TABLE_SUFFIXES)})"
        errors.append(FieldError("parameters.dataset_name", message, near))
    if model and not await _is_job(services, model.partition("/")[0]):
        message = f"there is no job {model.partition('/')[0][:80]}; name one that has trained a model, or is to"
        errors.append(FieldError("parameters.model", message))
    return errors


def _is_no_entry(dataset: str) -> bool:
    """Whether it needs no entry: it is built in, or perhaps a file of the node."""
    return dataset in BUILT_IN or dataset.lower().endswith(TABLE_SUFFIXES)


async def _is_job(services: Services, job_id: str) -> bool:
    return is_object_id(job_id) and await services.jobs.get(job_id) is not None
