"""What steps have put out, read from their jobs: for expressions, for data that is handed on, for answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from app.domain.job import Job
from app.domain.json import Json
from app.domain.outputs import outputs_of
from app.domain.states import JobStatus
from app.domain.workflows.state import ItemState, JobRef, StepState, StepStatus, Workflow
from app.services import Services


def source_of(workflow_id: str, step_id: str, state: StepState | ItemState, item: int | None = None) -> str:
    """The job whose outputs are those of a step, or of this item of it: its own, or the one that they were taken over
    from."""
    return state.cached_from or JobRef(step_id, item, state.run).job_id(workflow_id)


def sources(workflow: Workflow, step_id: str, of_items: range | None = None) -> Sequence[str | None]:
    """The jobs of a step, one for each item of a `for_each` (of these, or of all); None for what has none."""
    state = workflow.step(step_id)
    if state.items is not None:
        items = workflow.items.get(step_id, {})
        wanted = range(state.items.total) if of_items is None else of_items
        return [source_of(workflow.id, step_id, items[n], n) if n in items else None for n in wanted]
    without = (StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.AWAITING_APPROVAL, StepStatus.REJECTED)
    had_job = state.status not in without and not state.never_began
    return [source_of(workflow.id, step_id, state) if had_job else None]


async def step_outputs(services: Services, workflow: Workflow, step_ids: Iterable[str]) -> dict[str, Json]:
    """The outputs of each of these steps: an object, or a list of them in order where it went over many items. What did
    not complete has put out nothing: an empty object."""
    jobs_of = {step_id: sources(workflow, step_id) for step_id in step_ids}
    wanted = {job_id for of in jobs_of.values() for job_id in of if job_id is not None}
    jobs = await services.jobs.get_many(wanted) if wanted else {}
    return {step_id: outputs_in(workflow, step_id, of, jobs) for step_id, of in jobs_of.items()}


def outputs_in(workflow: Workflow, step_id: str, of: Sequence[str | None], jobs: Mapping[str, Job]) -> Json:
    """The outputs of a step whose jobs are these."""
    outputs = [_of_job(jobs.get(job_id)) if job_id is not None else {} for job_id in of]
    return outputs if workflow.step(step_id).items is not None else outputs[0]


def _of_job(job: Job | None) -> dict[str, Json]:
    return outputs_of(job.result) if job is not None and job.status is JobStatus.COMPLETED else {}
