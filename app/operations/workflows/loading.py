"""A workflow with its definition, as every use-case begins."""

from __future__ import annotations

from typing import NamedTuple

import structlog

from app.domain.errors import NotFound, Unavailable
from app.domain.workflows.definition import PinnedDefinition
from app.domain.workflows.state import Workflow
from app.services import Services

log = structlog.get_logger()


class Loaded(NamedTuple):
    """A run and what it is a run of."""

    workflow: Workflow
    pinned: PinnedDefinition


async def load(services: Services, workflow_id: str) -> Loaded:
    """Raises NotFound; Unavailable where its definition cannot be read."""
    workflow = await services.workflows.get(workflow_id)
    if workflow is None:
        raise NotFound("workflow", workflow_id)
    return Loaded(workflow, await definition_of(services, workflow))


async def definition_of(services: Services, workflow: Workflow) -> PinnedDefinition:
    """The definition that it is pinned to."""
    pinned = await services.definitions.get(workflow.name, workflow.version)
    if pinned is None:
        log.error("workflow.definition_missing", workflow_id=workflow.id, name=workflow.name, version=workflow.version)
        raise Unavailable("The definition of this workflow")
    return pinned
