"""Declares an operation's problems: references to shared responses, never a model (it would take the route's type)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PROBLEM_NAMES = {
    404: "NotFound",
    409: "Conflict",
    412: "PreconditionFailed",
    413: "TooLarge",
    415: "UnsupportedMediaType",
    416: "RangeNotSatisfiable",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "Unavailable",
}
BODY_PROBLEMS = (413, 415, 422)


STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {}}}}}
"""The success of an operation that may answer with an event stream."""


def problems(*statuses: int, body: bool = False) -> dict[int | str, dict[str, Any]]:
    """Responses for these statuses, and for those that every operation has. `body`: the operation reads one."""
    return _references({*statuses, *(BODY_PROBLEMS if body else ()), 422, 500, 503})


def _references(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    return {s: {"$ref": f"#/components/responses/{PROBLEM_NAMES[s]}"} for s in sorted(statuses)}


WITHOUT_STORES = _references({422, 500})
"""The problems of an operation that asks no store: even those refuse unknown query parameters."""
