"""A run as people are told of it: the workflow, its definition, and the jobs of the steps that are shown. However large
it is, what is read for one answer is bounded (`app.domain.workflows.pages`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.errors import NotFound
from app.domain.job import Job
from app.domain.nearest import nearest_name
from app.domain.workflows.definition import PinnedDefinition
from app.domain.workflows.pages import items_shown, steps_shown
from app.domain.workflows.state import Workflow, active_jobs
from app.operations.workflows.loading import Loaded, definition_of
from app.operations.workflows.outputs import sources
from app.services import Services

CHUNK = 500


@dataclass(frozen=True, slots=True)
class WorkflowView:
    """A run with what is true of it now. `steps`: those that are shown, from `start` on; `last`: those of the last
    whose outputs are; `jobs`: theirs, by id, those that exist."""

    workflow: Workflow
    pinned: PinnedDefinition
    jobs: Mapping[str, Job] = field(default_factory=dict)
    steps: Sequence[str] = ()
    start: int = 0
    last: Sequence[str] = ()

    @property
    def following(self) -> int | None:
        """The place of the first step after those that are shown."""
        end = self.start + len(self.steps)
        return end if end < len(self.pinned.steps) else None


async def inspect_workflow(services: Services, workflow: Workflow) -> WorkflowView:
    """The run with its first steps, and the outputs of its last."""
    pinned = await definition_of(services, workflow)
    steps, last = steps_shown(workflow, [*pinned.steps]), steps_shown(workflow, pinned.graph.last)
    return WorkflowView(workflow, pinned, await _jobs_of(services, workflow, {*steps, *last}), steps, last=last)


async def inspect_steps(services: Services, loaded: Loaded, start: int, limit: int) -> WorkflowView:
    """A page of its steps."""
    workflow, pinned = loaded
    steps = steps_shown(workflow, [*pinned.steps], start, limit)
    return WorkflowView(workflow, pinned, await _jobs_of(services, workflow, steps), steps, start)


async def inspect_items(services: Services, loaded: Loaded, step_id: str, items: range) -> WorkflowView:
    """With the jobs of these items of a step. Raises NotFound with the nearest step."""
    workflow, pinned = loaded
    if step_id not in pinned.steps:
        raise NotFound("step", step_id[:80], nearest_name(step_id, pinned.steps))
    jobs = await _jobs(services, sources(workflow, step_id, items))
    return WorkflowView(workflow, pinned, jobs, [step_id])


async def inspect_graph(services: Services, workflow: Workflow) -> WorkflowView:
    """With the jobs that tell the state of a step."""
    pinned = await definition_of(services, workflow)
    active = (ref.job_id(workflow.id) for ref in active_jobs(workflow) if ref.item is None)
    return WorkflowView(workflow, pinned, await _jobs(services, active))


async def _jobs_of(services: Services, workflow: Workflow, step_ids: Iterable[str]) -> dict[str, Job]:
    return await _jobs(services, (i for s in step_ids for i in sources(workflow, s, items_shown(workflow.step(s)))))


async def _jobs(services: Services, wanted: Iterable[str | None]) -> dict[str, Job]:
    """A part at a time: thousands of jobs are some work to read."""
    ids, found = sorted({job_id for job_id in wanted if job_id is not None}), dict[str, Job]()
    for start in range(0, len(ids), CHUNK):
        found |= await services.jobs.get_many(ids[start : start + CHUNK])
    return found
