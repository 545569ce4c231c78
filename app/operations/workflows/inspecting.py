"""A run as people are told of it: the workflow, its definition, and the jobs of its steps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.domain.job import Job
from app.domain.workflows.definition import PinnedDefinition
from app.domain.workflows.state import Workflow
from app.operations.workflows.loading import definition_of
from app.operations.workflows.outputs import sources
from app.services import Services

CHUNK = 500


@dataclass(frozen=True, slots=True)
class WorkflowView:
    """A run with what is true of it now. `jobs`: by id, those that exist."""

    workflow: Workflow
    pinned: PinnedDefinition
    jobs: Mapping[str, Job] = field(default_factory=dict)


async def inspect_workflow(services: Services, workflow: Workflow) -> WorkflowView:
    """With all its jobs."""
    pinned = await definition_of(services, workflow)
    wanted = {job_id for step_id in workflow.steps for job_id in sources(workflow, step_id) if job_id is not None}
    return WorkflowView(workflow, pinned, await _jobs(services, wanted))


async def _jobs(services: Services, wanted: Iterable[str]) -> dict[str, Job]:
    """A part at a time: thousands of jobs are some work to read."""
    ids, found = list(wanted), dict[str, Job]()
    for start in range(0, len(ids), CHUNK):
        found |= await services.jobs.get_many(ids[start : start + CHUNK])
        await asyncio.sleep(0)
    return found
