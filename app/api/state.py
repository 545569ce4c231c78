"""What a request handler may reach: one typed value, put into the lifespan state by `app.main`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from starlette.requests import HTTPConnection

from app.api.hub import Hub
from app.domain.ports import Inquirer
from app.metrics import Metrics
from app.services import Services

STATE_KEY = "api"
"""The lifespan yields `{STATE_KEY: ApiState(...)}`."""


class LoopStatus(NamedTuple):
    """Whether a background loop does its work, and in words: `leading`, `standby`, or why it does not; with figures."""

    ok: bool
    detail: str
    figures: Mapping[str, Any] = MappingProxyType({})
    """As `SchedulerFigures`; none where there are none."""
    lacks: str | None = None
    """The store that it waits for; None where that is not what is wrong."""


@dataclass(frozen=True, slots=True)
class ApiState:
    """The use-cases' ports, the event hub, the metrics, whom to ask why and what if, and the scheduler of this process
    if it runs one."""

    services: Services
    hub: Hub
    metrics: Metrics
    inquirer: Inquirer
    scheduler_status: Callable[[], LoopStatus] | None = None


def state_of(connection: HTTPConnection) -> ApiState:
    """The state of the process that answers this request."""
    return cast("ApiState", connection.scope["state"][STATE_KEY])
