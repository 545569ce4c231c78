"""For those who start workers as arq does: `arq workers.settings.WorkerSettings` becomes `tensorfleet worker`.

A bare arq worker ends when Redis does, and takes its jobs with it. So arq's process replaces itself, before it takes
any message, with the supervisor, in which arq is one supervised part. Only this way of starting needs Redis at its
start.
`WorkerSettings` is made when it is asked for, so that importing this module reads no environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from arq import func
from arq.connections import RedisSettings

from app.config import DEFAULT_REDIS_URL, load_settings


def command_line() -> list[str]:
    """The supervisor's command line; it contains `tensorfleet worker`, by which workers are told from others."""
    return [sys.executable, str(Path(sys.executable).with_name("tensorfleet")), "worker"]


async def become_the_supervisor(_: dict[Any, Any]) -> None:
    """Replace this process. Does not return."""
    sys.stdout.flush()
    os.execv(sys.executable, command_line())


async def nothing(_: dict[Any, Any]) -> None:
    """arq demands a function; this one is never called."""


def worker_settings() -> type:
    """What arq reads: the address of Redis, and the replacement at its start."""
    address = load_settings().queue.redis_url or DEFAULT_REDIS_URL
    attributes = {
        "functions": [func("workers.settings.nothing", name="nothing")],
        "on_startup": staticmethod(become_the_supervisor),
        "redis_settings": RedisSettings.from_dsn(address),
    }
    return type("WorkerSettings", (), attributes)


def __getattr__(name: str) -> object:
    if name == "WorkerSettings":
        return worker_settings()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
