"""From a request to what a submit would store: the template, the nodes, and whatever the request names, looked up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from app.domain.datasets import BUILT_IN, TABLE_SUFFIXES
from app.domain.errors import FieldError, Invalid
from app.domain.ids import is_name_id, is_object_id
from app.domain.nearest import unknown_name
from app.domain.resources import Vector
from app.domain.specification import JobRequest, Specification, SubmitPolicy, specify
from app.domain.step_checks import read_by_steps
from app.domain.templates import Template
from app.operations.templates import usable_template
from app.services import Services

CLUSTER_MAX_AGE = 1.0


@dataclass(frozen=True, slots=True)
class _Cluster:
    """Of every node that registered, and of those that the autoscaler may create; `torch`: one has it, or none is."""

    capacities: tuple[Vector, ...]
    torch: bool


async def plan(services: Services, request: JobRequest, version: int | None = None) -> Specification:
    """What would be stored, by that version of the template, else by its newest. Raises Invalid with every error of the
    request, NotFound-like ones included."""
    template = await template_of(services, request.template, version)
    specification = specify(request, template, await policy_of(services))
    if errors := [error async for error in reference_errors(services, specification)]:
        raise Invalid(errors)
    return specification


async def policy_of(services: Services) -> SubmitPolicy:
    """What the settings and the nodes, as of a moment ago, add to every request."""
    cluster = await services.recent.get("cluster", lambda: _cluster(services), CLUSTER_MAX_AGE)
    limits = services.settings.limits
    return SubmitPolicy(
        limits.job_timeout, limits.retry_attempts, cluster.capacities, cluster.torch, limits.concurrency.keys()
    )


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


async def _cluster(services: Services) -> _Cluster:
    nodes = await services.nodes.all()
    possible = [Vector.from_units(kind.model_dump()) for kind in services.settings.capacity.node_types.values()]
    return _Cluster((*(n.capacity for n in nodes), *possible), not nodes or any("torch" in n.facts for n in nodes))


async def reference_errors(services: Services, specification: Specification) -> AsyncIterator[FieldError]:
    """Data set names and models that lead nowhere. A file is the node's to find: only there it can be looked for."""
    read = read_by_steps(specification.template)
    name, model = (specification.parameters.get(p) if p in read else None for p in ("dataset_name", "model"))
    if isinstance(name, str) and not await _is_dataset(services, name):
        known = [*BUILT_IN, *(d.name for d in await services.datasets.all())]
        message, near = unknown_name("data set", name[:80], known)
        yield FieldError("parameters.dataset_name", f"{message}; a file ends in {' or '.join(TABLE_SUFFIXES)}", near)
    if isinstance(model, str) and model and not await _is_job(services, model.partition("/")[0]):
        message = f"there is no job {model.partition('/')[0][:80]}; name one that has trained a model, or is to"
        yield FieldError("parameters.model", message)


async def _is_dataset(services: Services, name: str) -> bool:
    """Whether it can be one, as far as it is known here: built in, registered, or perhaps a file of the node."""
    if name in BUILT_IN or name.lower().endswith(TABLE_SUFFIXES):
        return True
    return is_name_id(name) and await services.datasets.get(name) is not None


async def _is_job(services: Services, job_id: str) -> bool:
    return is_object_id(job_id) and await services.jobs.get(job_id) is not None
