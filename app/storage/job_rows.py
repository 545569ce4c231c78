"""Rows that tell a part of a job, or of many, as values of the domain. Each raises for what cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.limits import batch_limit
from app.domain.priority import Priority
from app.storage.shapes import check_place


def limits_from(d: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The id of a job and all its limits, as `app.domain.limits.limits_of` has them."""
    width = (d.get("membership") or {}).get("width")
    of_batch = () if width is None or d["batch_id"] is None else (batch_limit(d["batch_id"]),)
    return d["_id"], (*of_batch, *d["limits"])


def class_of_parent_from(row: Mapping[str, Any]) -> tuple[str, Priority]:
    return row["_id"]["parent"], Priority(row["_id"]["class"])


def place_from(document: Mapping[str, Any]) -> tuple[str, tuple[str | None, int]]:
    """Where a job is, by its id."""
    check_place(document)
    return document["_id"], (document["node_id"], document["run_no"])
