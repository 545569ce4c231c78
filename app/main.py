"""The ASGI application as a process: API, event hub and scheduler over one set of services. Nothing happens at import.

`build` is a factory: `uvicorn app.main:build --factory` works, `tensorfleet serve` adds clean ends. A background loop
that dies fails `/readyz` and calls `on_failure`, which ends the process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from app.api.application import create_app
from app.api.hub import Hub
from app.api.state import STATE_KEY, ApiState, LoopStatus
from app.bootstrap import open_services
from app.config import Settings, load_settings
from app.lifecycle import ServiceGroup
from app.metering import EventMeter, StoreMeter, template_labels
from app.metrics import Metrics
from app.scheduler.commit import Checkpoint, no_checkpoint
from app.scheduler.inquiry import Inquiry
from app.scheduler.service import SchedulerService, SchedulerStatus
from app.services import Services
from app.startup import StartupTrouble

LONGEST_CYCLE_AGE = 60.0
"""Seconds after its last whole cycle in which a leader counts as healthy."""


class Process:
    """What lives as long as the application: for the command that serves it, to end it and to learn why it ended."""

    def __init__(self) -> None:
        self.hub: Hub | None = None
        self.trouble: StartupTrouble | None = None
        self.on_failure: Callable[[], None] | None = None

    def close_streams(self) -> None:
        """End every event stream at once, so that the server may shut down."""
        if self.hub is not None:
            self.hub.close()

    def _failed(self, *_: object) -> None:
        if self.on_failure is not None:
            self.on_failure()

    @asynccontextmanager
    async def lifespan(self, settings: Settings, checkpoint: Checkpoint) -> AsyncIterator[Mapping[str, Any]]:
        """Open everything, yield the state of the API, close everything."""
        try:
            metrics, templates = Metrics(version("tensorfleet")), template_labels()
            async with open_services(settings, role="api", observer=StoreMeter(metrics)) as services:
                _count(services, metrics)
                hub = Hub(services.feed, metrics)
                scheduler = SchedulerService(services, metrics, checkpoint=checkpoint, templates=templates)
                hub.on_event = EventMeter(metrics, templates, lambda: scheduler.leading).heard
                loops = ServiceGroup("api", [hub, scheduler])
                loops.on_failure(self._failed)
                self.hub = hub
                async with loops:
                    yield {STATE_KEY: ApiState(services, hub, metrics, Inquiry(services), lambda: _status(scheduler))}
        except StartupTrouble as trouble:
            self.trouble = trouble
            raise


def _count(services: Services, metrics: Metrics) -> None:
    """Have counted what the services meet."""
    services.quarantine.on_new = lambda kind: metrics.documents_quarantined.labels(kind).inc()
    services.refusals.on_new = lambda kind, times: metrics.stale_writes_refused.labels(kind).inc(times)


def _status(scheduler: SchedulerService) -> LoopStatus:
    if failures := scheduler.failures():
        return LoopStatus(False, "; ".join(f"{name}: {why}" for name, why in failures.items()))
    return judged(scheduler.status())


def judged(status: SchedulerStatus) -> LoopStatus:
    """A leader whose last cycle is old hangs, whatever else it says."""
    ages = {"cycle": status.cycle_age if status.leading else None, **status.loops}
    figures = {
        "leading": status.leading,
        "term": status.term,
        "seconds_since": {name: None if age is None else round(age, 1) for name, age in ages.items()},
        "holding_back": None if status.holding_back is None else status.holding_back.cause,
    }
    if status.trouble:
        return LoopStatus(False, status.trouble, figures, status.lacks)
    if not status.leading:
        return LoopStatus(True, "standby", figures)
    if status.cycle_age is not None and status.cycle_age > LONGEST_CYCLE_AGE:
        return LoopStatus(False, f"no cycle for {status.cycle_age:.0f} s", figures)
    return LoopStatus(True, f"leading, term {status.term}", figures)


def build(
    settings: Settings | None = None, process: Process | None = None, checkpoint: Checkpoint = no_checkpoint
) -> FastAPI:
    """The application. `checkpoint` is called between the phases of a scheduler cycle (for tests of crashes)."""
    chosen = load_settings() if settings is None else settings
    owner = Process() if process is None else process

    def lifespan(_: FastAPI) -> Any:
        return owner.lifespan(chosen, checkpoint)

    return create_app(chosen, lifespan)
