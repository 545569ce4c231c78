"""JSON answers as bytes, made once. Values are built by hand, not validated again; a test holds them to the schemas."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response

from app.domain.json import Json
from app.operations.once import Answer


def as_json(value: Json) -> bytes:
    """Compact UTF-8 JSON. NaN and infinity become null, any mapping an object."""
    return orjson.dumps(value, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def json_response(value: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as a JSON response."""
    return Response(as_json(value), status, headers, "application/json")


def send(answer: Answer) -> Response:
    """The response of a use-case that made its own bytes; a repeated one says so."""
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else None
    return Response(answer.body, answer.status, headers, "application/json")
