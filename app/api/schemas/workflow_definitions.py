"""Stored definitions of workflows as they are answered."""

from typing import Any

from pydantic import Field

from app.api.schemas.base import Outgoing, Timestamp


class WorkflowDefinitionSummary(Outgoing):
    """A version of a stored workflow as it stands in a listing."""

    workflow_name: str
    version: int
    description: str
    templates: dict[str, int] = Field(description="The versions of templates that its runs are pinned to.")
    created_at: Timestamp


class WorkflowDefinition(WorkflowDefinitionSummary):
    """A version of a stored workflow."""

    definition: dict[str, Any] = Field(
        description="As `POST /workflows` takes it; secrets that one of an earlier release holds read `***`."
    )


class WorkflowDefinitionList(Outgoing):
    """Stored workflows, each at its newest version, by name."""

    definitions: list[WorkflowDefinitionSummary]
    next_cursor: str | None


class WorkflowDefinitionVersionList(Outgoing):
    """Versions of a stored workflow, the newest first."""

    workflow_name: str
    versions: list[WorkflowDefinitionSummary]
    next_cursor: str | None
