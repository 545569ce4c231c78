"""The Lua scripts beside this file, and the one place that says what redis' loosely typed answers are.

One file a script. Its header names KEYS, ARGV, what it returns and how it fails; a test holds the headers equal to what
callers send. Those of `SHARED` are put before each. A script is sent by its digest, and again as text when the server
has forgotten it (a restart, a SCRIPT FLUSH).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from app.storage.redis import call

T = TypeVar("T")
Argument = str | bytes | int

SHARED = ("structures", "order")
SCRIPTS = (
    "enqueue",
    "dequeue",
    "bands",
    "heads",
    "members",
    "lane",
    "find",
    "locate",
    "listing",
    "neighbours",
    "span",
    "missing",
    "rebuild_begin",
    "rebuild_add",
    "rebuild_swap",
)


@cache
def source(name: str) -> str:
    """The text of a file of `lua/`, without its suffix."""
    return (files("app.storage") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


class Scripts:
    """The scripts on one namespace, which is the only key of each."""

    def __init__(self, redis: Redis, namespace: str) -> None:
        self._namespace = namespace
        shared = "".join(map(source, SHARED))
        self._scripts = {name: AsyncScript(redis, shared + source(name)) for name in SCRIPTS}

    async def run(self, name: str, arguments: Sequence[Argument] = ()) -> Any:
        """What the script returns: integers, bytes, None and lists of these. Raises Unavailable."""
        return await call(self._scripts[name](keys=[self._namespace], args=arguments))


async def answer(response: Awaitable[T] | T) -> T:
    """What the server answers to a command, which redis' stubs may not call awaitable. Raises Unavailable."""
    return await call(cast("Awaitable[T]", response))
