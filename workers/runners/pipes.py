"""Pipes between the supervisor and its children: the reading end on the event loop, as bytes or as JSON lines."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import termios
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

import orjson
import structlog

from app.domain.json import Json

log = structlog.get_logger()
MAX_LINE = 4 << 20
"""A report line holds at most the outputs of a step (1 MiB); what is longer did not come from our code."""


def pipe_for_child() -> tuple[int, Connection]:
    """A reading end for us and a writing end to be handed to a child (and closed here once it was)."""
    reading, writing = os.pipe()
    return reading, Connection(writing, readable=False)


def pipe_to_child() -> tuple[Connection, int]:
    """A reading end to be handed to a child (and closed here once it was) and a writing end for us."""
    reading, writing = os.pipe()
    return Connection(reading, writable=False), writing


class Bytes(asyncio.Protocol):
    """Hands on what arrives. `closed` is set at the end of the pipe."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.closed.set()


class Lines(Bytes):
    """Hands on JSON objects, one a line. What is no JSON object is logged and skipped: the process may be hostile."""

    def __init__(self, take: Callable[[Mapping[str, Json]], None]) -> None:
        super().__init__(self._split)
        self._take_line = take
        self._parts: list[bytes] = []
        self._size = 0

    def _split(self, data: bytes) -> None:
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._parts.append(line)
            self._hand_on(b"".join(self._parts))
            self._parts, self._size = [], 0
        if rest and self._size <= MAX_LINE:
            self._parts.append(rest)
            self._size += len(rest)

    def _hand_on(self, raw: bytes) -> None:
        if not raw.strip():
            return
        try:
            line = orjson.loads(raw)
            if not isinstance(line, dict):
                raise ValueError("not an object")
            self._take_line(line)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("report.line_refused", why=str(error)[:200], size=len(raw))


async def read_into(descriptor: int, protocol: Bytes) -> asyncio.ReadTransport:
    """Read the descriptor on the loop; the transport owns it from now on."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(descriptor, "rb", buffering=0))
    return transport


async def read_out(transport: asyncio.ReadTransport) -> None:
    """Return when everything that is in the pipe now has been handed on."""
    while not transport.is_closing() and _waiting_bytes(transport.get_extra_info("pipe").fileno()):  # noqa: ASYNC110
        await asyncio.sleep(0)


async def write_to(descriptor: int) -> asyncio.WriteTransport:
    """Write to the descriptor from the loop; the transport owns it from now on."""
    pipe = os.fdopen(descriptor, "wb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, pipe)
    return transport


def _waiting_bytes(descriptor: int) -> int:
    answer = fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(answer, sys.byteorder)
