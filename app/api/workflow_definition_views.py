"""Stored definitions of workflows as they are answered."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from app.domain.ports import DefinitionRow
from app.domain.timestamps import rfc3339
from app.domain.workflows.definition import Definition, PinnedDefinition

View = dict[str, Any]


def definition_row_view(row: DefinitionRow) -> View:
    """A version as it stands in a listing."""
    return {
        "workflow_name": row.name,
        "version": row.version,
        "description": row.description,
        "templates": row.templates,
        "created_at": rfc3339(row.created_at),
    }


def definition_view(pinned: PinnedDefinition, definition: Definition) -> View:
    """The whole of it. `definition`: as it may be shown."""
    row = DefinitionRow(
        pinned.name, pinned.version, definition.description, pinned.templates, pinned.created_at
    )  # fmt: skip
    written = asdict(definition)
    return {**definition_row_view(row), "definition": {"workflow_name": written.pop("name"), **written}}
