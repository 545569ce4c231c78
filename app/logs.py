"""Logs: a constant event name and fields, one JSON object a line; colours and columns on a terminal.

`configure` is called once, by an entry point. Records of the standard library (uvicorn, arq, pymongo) go through the
same pipeline, so that one stream holds one format. Values are rendered by JSON, which escapes newlines: a user's text
cannot forge a line. Fields bound with `structlog.contextvars` (request id, job id) appear on every line of their task.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

QUIET = dict.fromkeys(("pymongo", "arq", "motor", "httpx", "asyncio"), logging.WARNING)
"""Libraries whose own INFO lines say nothing about our work."""
TOLD_AGAIN = 30.0
"""Seconds until it is said again that a store still does not answer."""
WHO = ("event", "store", "loop", "repair", "hint", "effect", "doing", "what")
"""By these fields lines about a store that does not answer are of one kind."""


class Sparingly:
    """Of the lines that say that a store does not answer, which carry `store`, one of a kind every so many seconds. It
    has `left_out`: how many of its kind there were meanwhile. While a store is away each loop and each request meets
    it, and what else happens would drown."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[tuple[Any, ...], tuple[float, int]] = {}
        """By kind when it was last told, and how many were left out since."""

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if "store" not in event:
            return event
        now, kind = self._clock(), tuple(str(event.get(name)) for name in WHO)
        at, left_out = self._told.get(kind, (now - TOLD_AGAIN, 0))
        if now - at < TOLD_AGAIN:
            self._told[kind] = (at, left_out + 1)
            raise structlog.DropEvent
        self._told[kind] = (now, 0)
        return {**event, "left_out": left_out} if left_out else event


def configure(
    level: str = "INFO",
    service: str = "tensorfleet",
    *,
    stream: IO[str] | None = None,
    terminal: bool | None = None,
    fields: Mapping[str, Any] | None = None,
) -> None:
    """Send all logs of this process to `stream` (stderr). `service` and `fields` stand on each line.

    `terminal` chooses the human renderer; None asks the stream. May be called again: the last call wins.
    """
    out = sys.stderr if stream is None else stream
    constant = {"service": service, **(fields or {})}
    shared = _shared(constant)
    human = out.isatty() if terminal is None else terminal
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            Sparingly(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderer(human)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, quietest in QUIET.items():
        logging.getLogger(name).setLevel(max(quietest, root.level))


def _shared(constant: Mapping[str, Any]) -> list[Processor]:
    def add_constant(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {**constant, **event}

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        add_constant,
    ]


def _renderer(human: bool) -> list[Processor]:
    """Tracebacks never show local variables: addresses with credentials and users' data live there."""
    if human:
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer(serializer=_json)]


def _json(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
