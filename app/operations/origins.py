"""Where the values of a job come from, told by the layers of the template version that it pins."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.job import Job
from app.domain.job_origins import job_origins
from app.domain.layers import Layer
from app.domain.origins import Origin, template_origins
from app.domain.step_catalog import STEP_PARAMETERS
from app.operations.templates import layers_of
from app.services import Services


async def origins_of(services: Services, job: Job) -> tuple[Job, Sequence[Layer], list[Origin]]:
    """The job with the layers of its template and the origin of each of its values."""
    template = await services.templates.get(job.template, job.template_version)
    layers = [] if template is None else await layers_of(services, template)
    known = [] if template is None else template_origins(template, layers, STEP_PARAMETERS)
    return job, layers, job_origins(job, known)
