"""Logs: a constant event name and fields, one JSON object a line; colours and columns on a terminal.

`configure` is called once, by an entry point. Records of the standard library (uvicorn, arq, pymongo) go through the
same pipeline, so that one stream holds one format. Values are rendered by JSON, which escapes newlines: a user's text
cannot forge a line. Fields bound with `structlog.contextvars` (request id, job id) appear on every line of their task.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import IO, Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

QUIET = dict.fromkeys(("pymongo", "arq", "motor", "httpx", "asyncio"), logging.WARNING)
"""Libraries whose own INFO lines say nothing about our work."""


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
