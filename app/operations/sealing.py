"""Secrets of jobs on their way to the store that is theirs alone, always before the job that names them.

So a job never names secrets that are not there. What a crash between the two leaves, or a submit that found its key
taken, is named by no job; retention finds it by its age.
"""

from __future__ import annotations

from app.domain.job import Job
from app.domain.secrets import Sealed
from app.domain.specification import Specification
from app.operations.hints import hinted
from app.services import Services


async def seal(services: Services, job: Job, specification: Specification) -> None:
    """Store the secrets of a job that is about to be inserted. Nothing is done for one without any."""
    if job.sealed is not None:
        values = specification.secret_values
        await services.secrets.put(Sealed(job.sealed, job.id, values, job.submitted_at))


async def unseal(services: Services, job: Job) -> dict[str, str]:
    """The secrets of a job by name, as far as they are there."""
    if job.sealed is not None:
        return dict(await services.secrets.get(job.sealed) or {})
    kept = {name: job.parameters.get(name) for name in job.secrets}
    return {name: value for name, value in kept.items() if isinstance(value, str)}  # of an earlier release


async def drop_sealed(services: Services, job: Job) -> None:
    """Forget the secrets of a job that was not inserted after all."""
    if job.sealed is not None:
        await hinted("drop_sealed", services.secrets.delete([job.sealed]))
