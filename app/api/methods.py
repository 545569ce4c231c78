"""Which methods a path has. Starlette names only those of the first route that matches, no HEAD, and no OPTIONS, which
every path answers with them."""

from __future__ import annotations

import re
from functools import cache

from fastapi import FastAPI
from starlette.requests import Request
from starlette.routing import compile_path

ONLY_HEAD = "tensorfleet.only_head"
"""In the scope of a request that was a HEAD, and is answered as a GET until its headers are sent."""


def allowed_methods(request: Request) -> list[str]:
    """All methods of this request's path, sorted; a path that the document does not know has those of a page."""
    path = request.url.path
    found = {m for pattern, methods in _table(request.app) if pattern.match(path) for m in methods} or {"GET"}
    return sorted({*found, "OPTIONS", *(("HEAD",) if "GET" in found else ())})


@cache
def _table(app: FastAPI) -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
    """Each path of the OpenAPI document as a pattern, with its methods."""
    paths = app.openapi()["paths"]
    return [
        (compile_path(path)[0], tuple(m.upper() for m in item if m != "parameters")) for path, item in paths.items()
    ]
