"""Take over what a step has put out before: the same version of its template, the same parameters, the same bytes of
the artifacts that they name. Only steps that say `cache: true` do, and only from jobs that completed.

A parameter that names an artifact (`{job_id}/{artifact}`) counts as its digest, so that equal data made by another job
is equal data. A data set that is only named may change under its name: the name is what is known of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import orjson

from app.domain.ids import is_object_id
from app.domain.job import Job
from app.domain.json import Json
from app.domain.outputs import outputs_of
from app.domain.specification import Specification
from app.domain.states import JobStatus
from app.domain.templates import Step
from app.services import Services

DEFAULT_MODEL = "model.skops"


async def earlier(services: Services, specification: Specification) -> str | None:
    """The job that did this before, when what its outputs name is still there."""
    if specification.secret_values:
        return None
    key = await key_of(
        services, specification.template.id, specification.template.version, specification.shown_parameters,
        specification.request.tenant, specification.steps,
    )  # fmt: skip
    found = await services.step_cache.find([key])
    job = await services.jobs.get(found[key]) if key in found else None
    return job.id if job is not None and await _is_whole(services, job) else None


async def _is_whole(services: Services, job: Job) -> bool:
    """Whether it completed, and every artifact that its outputs name is there."""
    if job.status is not JobStatus.COMPLETED:
        return False
    named = [place for said in outputs_of(job.result).values() if (place := _artifact(said)) is not None]
    return all([await services.artifacts.get(*place) is not None for place in named])


async def remember(services: Services, job: Job) -> None:
    """Let others take over what this completed job has put out; not of one with secrets, which are no part of a key."""
    if job.sealed is not None:
        return
    key = await key_of(services, job.template, job.template_version, job.parameters, job.tenant, job.steps)
    await services.step_cache.keep(key, job.id, services.clock.now())


async def key_of(
    services: Services, template: str, version: int, parameters: Mapping[str, Json], tenant: str, steps: Sequence[Step]
) -> str:
    """Equal for equal work."""
    told = {name: await _digested(services, value) for name, value in parameters.items()}
    text = orjson.dumps(
        [tenant, template, version, told, [step.command for step in steps]], option=orjson.OPT_SORT_KEYS
    )
    return hashlib.sha256(text).hexdigest()


async def _digested(services: Services, value: Json) -> Json:
    """A reference to an artifact as its digest, everything else as it is."""
    place = _artifact(value)
    info = await services.artifacts.get(*place) if place is not None else None
    return value if info is None else f"sha256:{info.sha256}/{info.name}"


def _artifact(value: Json) -> tuple[str, str] | None:
    """The job and the name of the artifact that a value refers to; None where it is no reference."""
    job_id, _, name = value.partition("/") if isinstance(value, str) else ("", "", "")
    return (job_id, name or DEFAULT_MODEL) if job_id.startswith("job_") and is_object_id(job_id) else None
