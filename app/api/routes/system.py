"""The process itself: alive, ready, measured, described."""

import re
from html import escape
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from app.api.answers import as_json, json_response
from app.api.deps import State
from app.api.problem_codes import CODES
from app.api.problems import WITHOUT_STORES
from app.api.readiness import readiness
from app.api.routing import api_router
from app.api.schemas.cluster import Liveness, Readiness
from app.domain.errors import NotFound
from app.metrics import CONTENT_TYPE

STATIC = Path(__file__).parent.parent / "dashboard" / "static"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PAGE_HEADERS = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_CODE = re.compile(r"`([^`]*)`")
router = api_router("", "system")
pages = APIRouter(include_in_schema=False)


@router.get("/healthz", responses=WITHOUT_STORES, response_model=Liveness)
async def get_health() -> Response:
    """The process answers. It says nothing of the stores: those are in /readyz."""
    return json_response({"status": "alive"})


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={
        **WITHOUT_STORES,
        503: {"model": Readiness, "description": "It cannot do its work: the document store or a loop is down."},
    },
)
async def get_readiness(state: State) -> Response:
    """Whether the process can do its work, with detail. Without the queue index it is degraded: submits are accepted
    and stored, and indexed when it is back.
    """
    view = await readiness(state)
    return json_response(view, 503 if view["status"] == "unavailable" else 200)


@router.get(
    "/metrics",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **WITHOUT_STORES},
    response_class=Response,
)
async def get_metrics(state: State) -> Response:
    """What the process counts, in Prometheus' text format."""
    return Response(state.metrics.render(), headers={"Content-Type": CONTENT_TYPE})


@pages.get("/openapi.json")
async def get_document(request: Request) -> Response:
    """The OpenAPI document."""
    return Response(as_json(request.app.openapi()), media_type="application/json")


@pages.get("/docs")
async def get_docs() -> Response:
    """Swagger UI, from this process alone."""
    return FileResponse(STATIC / "docs" / "index.html", headers=PAGE_HEADERS, media_type="text/html")


@pages.get("/docs/errors/{code}")
async def get_problem_page(code: str) -> Response:
    """One paragraph about a problem code."""
    if code not in CODES:
        raise NotFound("problem code", code[:80])
    status, title, meaning = CODES[code]
    words = _CODE.sub(r"<code>\1</code>", escape(meaning))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
        f'<title>{escape(code)}</title><link rel="stylesheet" href="/static/docs/page.css"></head><body>'
        f'<main class="problem"><h1>{escape(title)}</h1><p><code>{escape(code)}</code>, status {status}</p>'
        f"<p>{words}</p></main></body></html>"
    )
    return HTMLResponse(page, headers=PAGE_HEADERS)
