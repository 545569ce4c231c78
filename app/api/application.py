"""Puts the HTTP face together. Nothing happens at import; the lifespan brings the state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.staticfiles import StaticFiles

from app.api import errors, openapi
from app.api.middleware import RequestContext
from app.api.routes import (
    analytics,
    batches,
    capacity,
    controls,
    datasets,
    decisions,
    events,
    inquiries,
    job_data,
    jobs,
    leaderboards,
    nodes,
    queue,
    schedules,
    system,
    templates,
    workflow_definitions,
    workflows,
)
from app.config import Settings

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]
ROUTERS = (
    batches.submit_router,
    jobs.router,
    controls.router,
    job_data.router,
    batches.router,
    workflow_definitions.router,
    workflows.router,
    schedules.router,
    leaderboards.router,
    templates.router,
    datasets.router,
    queue.queue_router,
    queue.limits_router,
    inquiries.explain_router,
    inquiries.what_if_router,
    decisions.router,
    analytics.router,
    nodes.router,
    capacity.router,
    nodes.platform_router,
    events.router,
    system.router,
    system.pages,
)
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI's own is not used, and asking whether it is configured costs 3 % of a submit."""


def create_app(settings: Settings, lifespan: Lifespan) -> FastAPI:
    """The application. `lifespan` yields `{app.api.state.STATE_KEY: ApiState(...)}`."""
    app = FastAPI(
        title="TensorFleet Job Orchestrator",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        telemetry=NO_TELEMETRY,
    )
    app.state.max_body_bytes = settings.http.max_body_mb << 20
    app.state.max_batch_bytes = settings.http.max_batch_mb << 20
    for router in ROUTERS:
        app.router.routes.extend(router.routes)  # `include_router` would wrap them: a look-up more for each request
    app.mount("/static", StaticFiles(directory=system.STATIC), name="static")
    app.add_middleware(RequestContext)
    errors.install(app)
    openapi.install(app)
    return app
