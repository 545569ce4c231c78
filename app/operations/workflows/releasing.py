"""Make the jobs that a workflow has asked for. Done any number of times by anybody, it makes each once: ids are
derived, and an insert of what is there changes nothing.

A job that cannot be made (a parameter cannot be filled in, a submit would refuse it) is an end of its own: FAILED, with
the reason. One whose work was done before (`cache`) is an end, too: COMPLETED, with the job that did it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from app.domain.errors import Invalid
from app.domain.expressions import Fault
from app.domain.job import Job
from app.domain.json import Json
from app.domain.new_job import build_job
from app.domain.queueing import ticket_of
from app.domain.specification import Specification
from app.domain.states import JobStatus
from app.domain.workflows.advance import Ended
from app.domain.workflows.asked import handed_on, produced, request_of
from app.domain.workflows.state import JobRef, StepError, StepStatus
from app.operations.hints import hinted
from app.operations.indexing import index_waiting
from app.operations.plan import plan, template_of
from app.operations.sealing import seal
from app.operations.workflows import caching
from app.operations.workflows.evaluating import rendered
from app.operations.workflows.loading import Loaded
from app.operations.workflows.outputs import source_of, step_outputs
from app.services import Services

MOST_LOOKED_AT = 1_000
"""Steps before a step among which its data is looked for."""
AT_ONCE = 100
_ties = count()


@dataclass(slots=True)
class Released:
    """The jobs that there are now, and the ends of what could not, or need not, be made."""

    jobs: list[Job] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)


async def release(services: Services, loaded: Loaded, refs: Sequence[JobRef]) -> Released:
    """Make the jobs of these. Raises Unavailable, which leaves them to whoever looks next."""
    out = Released()
    for start in range(0, len(refs), AT_ONCE):
        some = refs[start : start + AT_ONCE]
        parameters = await rendered(services, loaded, some)
        made = await asyncio.gather(
            *(_make(services, loaded, ref, given) for ref, given in zip(some, parameters, strict=True))
        )
        jobs = [each for each in made if isinstance(each, Job)]
        await asyncio.gather(*(services.jobs.insert(job) for job in jobs))
        tickets = [ticket_of(job) for job in jobs if job.status is JobStatus.QUEUED]
        if tickets:
            await hinted("enqueue", index_waiting(services, tickets))
        out.jobs += jobs
        out.ended += [each for each in made if isinstance(each, Ended)]
    return out


async def _make(services: Services, loaded: Loaded, ref: JobRef, parameters: dict[str, Json] | Fault) -> Job | Ended:
    if isinstance(parameters, Fault):
        return _failed(ref, "bad_expression", parameters.message)
    try:
        specification = await _specified(services, loaded, ref, parameters)
    except Invalid as refused:
        return _failed(ref, refused.code, refused.message)
    if loaded.pinned.steps[ref.step_id].cache:
        earlier = await caching.earlier(services, specification)
        if earlier is not None:
            return Ended(ref, StepStatus.COMPLETED, cached_from=earlier)
    return await _job(services, loaded, ref, specification)


def _failed(ref: JobRef, code: str, message: str) -> Ended:
    return Ended(ref, StepStatus.FAILED, StepError(code, message[:500]))


async def _specified(services: Services, loaded: Loaded, ref: JobRef, parameters: dict[str, Json]) -> Specification:
    """What a submit of it would store. Raises Invalid."""
    workflow, pinned = loaded
    step = pinned.steps[ref.step_id]
    version = pinned.templates[step.job_template]
    template = await template_of(services, step.job_template, version)
    wanted = handed_on(template, parameters)
    if wanted and pinned.graph.parents[ref.step_id]:
        parameters = {**parameters, **await _taken(services, loaded, ref.step_id, wanted)}
    return await plan(services, request_of(pinned, step, parameters, ref.item, workflow.tenant), version)


async def _taken(services: Services, loaded: Loaded, step_id: str, wanted: Sequence[str]) -> dict[str, str]:
    """What the nearest steps before produced for these parameters."""
    found: dict[str, str] = {}
    looked = 0
    for group in loaded.pinned.graph.upwards(step_id):
        outputs = await step_outputs(services, loaded.workflow, group)
        for parameter in (name for name in wanted if name not in found):
            references = (_produced(loaded, above, outputs[above], parameter) for above in group)
            if (reference := next((r for r in references if r is not None), None)) is not None:
                found[parameter] = reference
        looked += len(group)
        if len(found) == len(wanted) or looked > MOST_LOOKED_AT:
            break
    return found


def _produced(loaded: Loaded, step_id: str, outputs: Json, parameter: str) -> str | None:
    """The reference in these outputs; of a step over many items there is no one thing to hand on."""
    state = loaded.workflow.step(step_id)
    if not isinstance(outputs, dict):
        return None
    return produced(outputs, source_of(loaded.workflow.id, step_id, state), parameter)


async def _job(services: Services, loaded: Loaded, ref: JobRef, specification: Specification) -> Job:
    job = build_job(
        specification,
        job_id=ref.job_id(loaded.workflow.id),
        name=specification.base_name,
        eligible=not specification.limits,
        stamp=services.stamp(),
        tie=next(_ties) % 1_000,
        workflow_id=loaded.workflow.id,
        step_id=ref.step_id,
        step_item=ref.item,
    )
    await seal(services, job, specification)
    return job
