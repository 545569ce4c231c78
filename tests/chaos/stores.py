"""The stores under faults: mongod alone or as a set of three, and Valkey; each killed, frozen, cut off, started again.

Members of a set know each other by the addresses of their wires, since drivers discover members by what the set says of
itself: so no traffic, of clients or between members, gets around the network of the laboratory.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from app.dev.mongodb import REPLICA_SET, Mongod
from app.dev.server import EmbeddedServer
from app.dev.valkey import Valkey
from tests.chaos.wire import Wire
from tests.support.ports import own_port
from tests.support.wait import until

ELECTED_SECONDS = 60.0
LOOK_SECONDS = 0.5
"""How long a look may take to find a member; what has to be done waits longer."""
S = TypeVar("S", bound=EmbeddedServer)


class Server(Generic[S]):
    """An embedded server that can die and come back on its port (mongod with its data), and the wire to it."""

    def __init__(self, make: Callable[[int], S]) -> None:
        self._make = make
        self.port = own_port()
        self.wire = Wire(self.port)
        self.running = make(self.port)

    async def start(self) -> None:
        """Start it, for the first time or again."""
        self.running = self._make(self.port)
        await self.running.start()

    async def stop(self) -> None:
        self._signal(signal.SIGCONT)
        self.running.kill()
        await self.running.stop()

    async def kill(self) -> None:
        """End it without warning."""
        self.running.kill()
        await self.running.done.wait()

    def freeze(self) -> None:
        """Stop it: every connection stands, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.running.pid is not None and not self.running.done.is_set():
            os.kill(self.running.pid, number)


class Member(Mongod):
    """A mongod that waits to be made a member of a set."""

    may_move = False

    def __init__(self, directory: Path, port: int, oplog_mb: int) -> None:
        super().__init__(directory, port)
        self._oplog_mb = oplog_mb

    def command(self) -> list[str]:
        command = super().command()
        command[command.index("--oplogSize") + 1] = str(self._oplog_mb)
        return command

    async def probe(self) -> str | None:
        async with _direct(self.port) as client:
            try:
                answer = await client.admin.command("serverStatus")
            except PyMongoError:
                return None
        return str(answer["version"]) if answer["pid"] == self.pid else None


class MongoSet:
    """MongoDB for the service. `uri` leads through the wires."""

    def __init__(self, members: Sequence[Server[Member]], uri: str) -> None:
        self.members = members
        self.uri = uri

    async def primary(self) -> Server[Member]:
        """The member that is primary now; waits for an election."""
        found = await until(self._find_primary, ELECTED_SECONDS, every=0.1)
        assert found is not None
        return found

    async def secondaries(self) -> list[Server[Member]]:
        primary = await self.primary()
        return [member for member in self.members if member is not primary]

    async def step_down(self, seconds: int = 10) -> None:
        """Make the primary give up its place."""
        primary = await self.primary()
        async with _direct(primary.port) as client:
            try:
                await client.admin.command("replSetStepDown", seconds, force=True)
            except PyMongoError:
                return

    async def _find_primary(self) -> Server[Member] | None:
        """Of two that think that they are primary, the one elected later is."""
        elected: dict[str, Server[Member]] = {}
        for member in self.members:
            async with _direct(member.port) as client:
                try:
                    hello = await client.admin.command("hello")
                except PyMongoError:
                    continue
                if hello.get("isWritablePrimary"):
                    elected[str(hello["electionId"])] = member
        return elected[max(elected)] if elected else None


def _direct(port: int, seconds: float = LOOK_SECONDS) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(
        f"mongodb://127.0.0.1:{port}/?directConnection=true",
        serverSelectionTimeoutMS=round(1_000 * seconds),
        socketTimeoutMS=round(4_000 * seconds),
    )


@asynccontextmanager
async def mongo_set(folder: Path, members: int, oplog_mb: int) -> AsyncIterator[MongoSet]:
    """A replica set of so many members, each behind its wire, that keeps so much history."""
    async with AsyncExitStack() as stack:
        servers = [Server(lambda port, n=n: Member(folder / f"mongo-{n}", port, oplog_mb)) for n in range(members)]
        for server in servers:
            await stack.enter_async_context(server.wire)
            stack.push_async_callback(server.stop)
            await server.start()
        hosts = [f"127.0.0.1:{server.wire.port}" for server in servers]
        await _initiate(servers[0].port, hosts)
        found = MongoSet(servers, f"mongodb://{','.join(hosts)}/?replicaSet={REPLICA_SET}")
        await found.primary()
        yield found


async def _initiate(port: int, hosts: Sequence[str]) -> None:
    async with _direct(port, ELECTED_SECONDS) as client:
        members = [{"_id": n, "host": host} for n, host in enumerate(hosts)]
        await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})


@asynccontextmanager
async def valkey(folder: Path) -> AsyncIterator[Server[Valkey]]:
    """A Valkey behind its wire; what it held is gone when it comes back."""
    server = Server(lambda port: Valkey(folder / "valkey", port))
    async with server.wire:
        try:
            await server.start()
            yield server
        finally:
            await server.stop()
