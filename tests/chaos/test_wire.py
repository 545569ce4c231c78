"""The network of the laboratory does what it says: cut, held, delayed, and nothing lost by being late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chaos.moments import boot_time
from tests.chaos.wire import Way, Wire
from tests.support.wait import until


class Echo:
    """A server that remembers what it heard and says it again."""

    def __init__(self) -> None:
        self.heard = b""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            self.heard += data
            writer.write(data)
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    found = Echo()
    async with await asyncio.start_server(found.serve, "127.0.0.1", 0) as server:
        found.port = server.sockets[0].getsockname()[1]
        yield found


async def connected(wire: Wire) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", wire.port)


async def test_passes_on_both_ways(echo: Echo) -> None:
    async with Wire(echo.port) as wire:
        reader, writer = await connected(wire)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        writer.close()


async def test_what_is_held_arrives_when_the_wire_is_mended_also_from_a_sender_that_left(echo: Echo) -> None:
    async with Wire(echo.port) as wire:
        _, writer = await connected(wire)
        wire.hold(Way.THERE)
        writer.write(b"late")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        with pytest.raises(AssertionError):
            await until(lambda: echo.heard, 0.1)
        wire.mend()
        await until(lambda: echo.heard == b"late")


async def test_an_answer_that_is_held_was_heard_by_the_server(echo: Echo) -> None:
    async with Wire(echo.port) as wire:
        reader, writer = await connected(wire)
        wire.hold(Way.BACK)
        writer.write(b"one")
        await until(lambda: echo.heard == b"one")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(3)
        wire.mend()
        assert await reader.readexactly(3) == b"one"
        writer.close()


async def test_a_cut_wire_breaks_what_is_open_and_what_comes(echo: Echo) -> None:
    async with Wire(echo.port) as wire:
        reader, writer = await connected(wire)
        writer.write(b"one")
        await reader.readexactly(3)
        wire.cut()
        with pytest.raises(ConnectionError):
            await _read_to_the_break(reader)
        late, later = await connected(wire)
        with pytest.raises(ConnectionError):
            await _read_to_the_break(late)
        wire.mend()
        again, sender = await connected(wire)
        sender.write(b"two")
        assert await again.readexactly(3) == b"two"
        for each in (writer, later, sender):
            each.close()


async def _read_to_the_break(reader: asyncio.StreamReader) -> None:
    if await reader.read(1) == b"":
        raise ConnectionResetError("ended")


async def test_a_slow_wire_delays(echo: Echo) -> None:
    async with Wire(echo.port) as wire:
        reader, writer = await connected(wire)
        wire.slow(0.1)
        began = boot_time()
        writer.write(b"one")
        await reader.readexactly(3)
        assert boot_time() - began >= 0.2
        writer.close()
