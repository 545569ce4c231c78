"""Every error becomes `application/problem+json` (RFC 9457) here, and nowhere else.

A class of the domain's tree maps to a status through its nearest mapped ancestor, so that a new leaf is covered and a
new branch fails the test that walks the tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import as_json
from app.api.methods import allowed_methods
from app.api.problem_codes import CODES
from app.api.request_id import request_id_of
from app.api.validation import field_errors
from app.domain.errors import (
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    TensorFleetError,
    TooLarge,
    Unavailable,
)
from app.domain.json import Json

log = structlog.get_logger()
PROBLEM_JSON = "application/problem+json"
STATUS: Mapping[type[TensorFleetError], int] = {
    Invalid: 422,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    TooLarge: 413,
    QuotaExceeded: 429,
    Unavailable: 503,
}
_HTTP_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
}


def status_of(kind: type[TensorFleetError]) -> int:
    """The HTTP status of an error class. KeyError when no ancestor is mapped."""
    return next(STATUS[each] for each in kind.__mro__ if each in STATUS)


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    **more: Json,
) -> Response:
    """A problem answer. `more`: `current`, `wanted`, `allowed`, `nearest`; what is None is left
    out."""
    known = CODES.get(code)
    body: dict[str, Json] = {
        "type": f"/docs/errors/{code}",
        "title": known.title if known else detail,
        "status": status,
        "code": code,
        "detail": detail,
        "instance": request.url.path,
        "errors": [_field_error(e) for e in errors],
        "request_id": request_id_of(request.scope),
        **{name: value for name, value in more.items() if value is not None},
    }
    return Response(as_json(body), status, headers, PROBLEM_JSON)


def _field_error(error: FieldError) -> dict[str, Json]:
    shown = {"path": error.path, "message": error.message}
    return shown if error.nearest is None else {**shown, "nearest": error.nearest}


def install(app: FastAPI) -> None:
    """Have `app` answer every expected exception with a problem; `RequestContext` answers the others."""
    app.add_exception_handler(TensorFleetError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


async def _domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TensorFleetError)  # noqa: S101 - registered for this class only
    headers: dict[str, str] = {}
    more: dict[str, Json] = {name: getattr(error, name, None) for name in ("nearest", "current", "wanted")}
    if isinstance(error, Unavailable | QuotaExceeded):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, TooLarge):
        headers["Connection"] = "close"
    if isinstance(error, Conflict):
        more["allowed"] = list(error.allowed) if error.current is not None else None
    errors = error.errors if isinstance(error, Invalid) else ()
    status = status_of(type(error))
    return problem(request, status, error.code, error.message, errors=errors, headers=headers, **more)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    return await _domain_error(request, Invalid(field_errors(request, error)))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    code, detail, headers = _HTTP_CODES.get(error.status_code, "invalid"), error.detail, dict(error.headers or {})
    if error.status_code == 404:
        detail = "There is nothing at this path; /docs lists what there is."
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request))
        detail = f"This path takes {headers['Allow']}, not {request.method}."
        if request.method == "OPTIONS":  # no route takes it, and every path that there is answers it
            return Response(status_code=204, headers=headers)
    return problem(request, error.status_code, code, detail, headers=headers)


def unexpected(request: Request, error: Exception) -> Response:
    """The problem for a fault of the service: it goes to the log whole, and to the caller not at all."""
    request_id = request_id_of(request.scope)
    log.error("request.failed", path=request.url.path, exc_info=error)
    detail = f"The service failed; its log holds the cause under {request_id}."
    return problem(request, 500, "internal_error", detail)
