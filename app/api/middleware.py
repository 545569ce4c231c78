"""One pure ASGI layer around everything: the request's id, its log context, how long it took, and the last resort.

The duration is taken at the first byte of the answer, so that a stream of hours is not a latency of hours; the label is
the operation, never the path, so that ids do not become series. HEAD is GET that ends with its headers, so that it
needs no routes of its own; only of GET there are parts (RFC 9110, 14.2).
"""

from __future__ import annotations

import time

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import unexpected
from app.api.methods import ONLY_HEAD
from app.api.request_id import assign_request_id
from app.api.state import STATE_KEY, ApiState


class HeadAnsweredError(Exception):
    """The headers are sent, and a HEAD wants nothing more: whatever would make the body is left."""


class RequestContext:
    """Gives each request its id, measures it, and answers what nobody expected."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        only_head = scope["method"] == "HEAD"
        if only_head:
            headers = [h for h in scope["headers"] if h[0] != b"range"]
            scope = {**scope, "method": "GET", "headers": headers, ONLY_HEAD: True}
        request_id = assign_request_id(scope)
        started = time.monotonic()
        answered = False

        async def send_and_measure(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                message["headers"].append((b"x-request-id", request_id.encode()))
                _observe(scope, message["status"], time.monotonic() - started)
            await send(message)
            if only_head:
                await send({"type": "http.response.body"})
                raise HeadAnsweredError

        structlog.contextvars.bind_contextvars(request_id=request_id)  # a request is a task, and its context its own
        try:
            await self._app(scope, receive, send_and_measure)
        except HeadAnsweredError:
            pass
        except Exception as error:
            response = unexpected(Request(scope), error)
            if answered:
                raise
            await response(scope, receive, send_and_measure)


def _observe(scope: Scope, status: int, seconds: float) -> None:
    state: ApiState = scope["state"][STATE_KEY]
    operation = getattr(scope.get("route"), "name", "unmatched")
    state.metrics.http_seconds.labels(operation, str(status)).observe(seconds)
