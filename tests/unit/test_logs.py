"""Logs: one format for our lines and the libraries', and no line that a user's text could forge."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest
import structlog

from app.clock import SystemClock
from app.logs import TOLD_AGAIN, Sparingly, configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, level = logging.getLogger(), logging.getLogger().level
    handlers = root.handlers[:]
    out = io.StringIO()
    configure("INFO", "api", stream=out, fields={"node_id": "n1"})
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_our_lines_are_json_with_event_fields_and_context(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(job_id="job_1")
    structlog.get_logger("x").info("lease.renewed", epoch=3)
    structlog.get_logger("x").debug("not.shown")
    (line,) = map(orjson.loads, stream.getvalue().splitlines())
    assert line["event"] == "lease.renewed"
    want = {"epoch": 3, "job_id": "job_1", "service": "api", "node_id": "n1", "level": "info"}
    assert {key: line[key] for key in want} == want


def test_library_lines_go_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("listening on %s", "port 1")
    logging.getLogger("pymongo.topology").info("chatter")
    (line,) = map(orjson.loads, stream.getvalue().splitlines())
    assert (line["event"], line["logger"], line["service"]) == ("listening on port 1", "uvicorn.error", "api")


def test_a_users_text_cannot_forge_a_line(stream: io.StringIO) -> None:
    structlog.get_logger("x").info("job.submitted", name='a\n{"event": "forged"}')
    assert len(stream.getvalue().splitlines()) == 1


def test_an_exception_is_one_line_without_locals(stream: io.StringIO) -> None:
    password = "hunter2"
    try:
        raise ValueError("wrong", len(password))
    except ValueError:
        structlog.get_logger("x").exception("step.failed")
    (text,) = stream.getvalue().splitlines()
    assert orjson.loads(text)["exception"][0]["exc_type"] == "ValueError"
    assert password not in text


def test_a_terminal_gets_plain_text_without_locals() -> None:
    root, level, handlers = logging.getLogger(), logging.getLogger().level, logging.getLogger().handlers[:]
    out, password = io.StringIO(), "hunter2"
    try:
        configure("INFO", "api", stream=out, terminal=True)
        raise ValueError("wrong", len(password))
    except ValueError:
        structlog.get_logger("x").exception("step.failed")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    assert "step.failed" in out.getvalue()
    assert "ValueError" in out.getvalue()
    assert password not in out.getvalue().replace('password = io.StringIO(), "hunter2"', "")


def test_time_has_whole_milliseconds_in_utc() -> None:
    now = SystemClock().now()
    assert now.microsecond % 1000 == 0
    assert now.utcoffset() is not None


def test_that_a_store_is_away_is_told_once_by_each_who_meets_it(stream: io.StringIO) -> None:
    log = structlog.get_logger("x")
    for n in range(100):
        log.warning("periodic.store_away", loop="index", store="Redis", again_in=n)
        log.warning("periodic.store_away", loop="timers", store="Redis")
        log.warning("periodic.failed", loop="timers")
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    away = [line["loop"] for line in lines if line["event"] == "periodic.store_away"]
    assert away == ["index", "timers"]
    assert len(lines) == 102, "what says nothing of a store is told each time"


def test_it_is_told_again_with_how_often_it_was_left_out() -> None:
    now = 1_000.0
    sparingly = Sparingly(lambda: now)

    def told() -> Mapping[str, Any] | None:
        try:
            return dict(sparingly(None, "warning", {"event": "doorbell.away", "store": "Redis"}))
        except structlog.DropEvent:
            return None

    assert told() == {"event": "doorbell.away", "store": "Redis"}
    assert (told(), told()) == (None, None)
    now += TOLD_AGAIN
    assert told() == {"event": "doorbell.away", "store": "Redis", "left_out": 2}
    assert told() is None
