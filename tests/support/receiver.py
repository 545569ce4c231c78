"""Somebody who takes posts: an HTTP server on loopback that keeps what it got and answers as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Got:
    """A request: its first line, headers by lower-case name, and body."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answers`: status lines in turn, the last one for ever, `None` for no answer at all."""

    port: int = 0
    answers: list[str | None] = field(default_factory=lambda: ["200 OK"])
    got: list[Got] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/plans?of=fleet"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of a connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *rest = head.strip().split("\r\n")
            headers = {k.lower(): v for k, _, v in (one.partition(": ") for one in rest)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.got.append(Got(line, headers, body))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is not None:
                writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def receiver(*answers: str | None) -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    found = Receiver(answers=list(answers) or ["200 OK"])
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found
