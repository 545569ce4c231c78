"""A TCP proxy of one target whose traffic can be cut, held back or delayed: the network of the laboratory.

Bytes that are held are not lost: as in a network that comes back, they arrive in their order once the wire is mended,
also those of a sender that has given up meanwhile. A late renewal, or an answer that nobody waits for any more, is made
like this.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum
from typing import Self

from tests.chaos.moments import elapse

CHUNK = 1 << 16


class Way(StrEnum):
    """A direction of the traffic."""

    THERE = "there"
    """From the client to the server."""
    BACK = "back"
    """From the server to the client."""


class Wire:
    """Listens on `port` of loopback and passes on to `target` while the context is open."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()
        self._flows = {way: asyncio.Event() for way in Way}
        self._delay = 0.0
        self._is_cut = False
        for flow in self._flows.values():
            flow.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection, and each new one at once."""
        self._is_cut = True
        self.hang_up()

    def hang_up(self) -> None:
        """Break the present connections only."""
        for pair in self._pairs:
            pair.cancel()

    def hold(self, *ways: Way) -> None:
        """Keep back what is sent these ways (both when none is named): a network that has gone silent."""
        for way in ways or Way:
            self._flows[way].clear()

    def slow(self, seconds: float) -> None:
        """Delay every piece by so much."""
        self._delay = seconds

    def mend(self) -> None:
        """Deliver what was held, and let everything pass again."""
        self._is_cut, self._delay = False, 0.0
        for flow in self._flows.values():
            flow.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = asyncio.current_task()
        assert pair is not None
        self._pairs.add(pair)
        try:
            if not self._is_cut:
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._pairs.discard(pair)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            await asyncio.gather(
                self._pump(Way.THERE, reader, server_writer), self._pump(Way.BACK, server_reader, writer)
            )
        finally:
            server_writer.transport.abort()

    async def _pump(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await self._read(reader):
            if self._delay:
                await elapse(self._delay)
            await self._flows[way].wait()
            writer.write(data)
            await writer.drain()
        await self._flows[way].wait()
        with suppress(OSError):
            writer.write_eof()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        """What came, `b""` at the end. What a sender sent before it broke off must arrive: a break is an end."""
        try:
            return await reader.read(CHUNK)
        except ConnectionError:
            return b""
