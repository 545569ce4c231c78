"""The connection to MongoDB: the one place that knows which driver is in use.

The same code runs over Motor and over its successor, PyMongo's own async client. They differ in this: where Motor
answers directly (`aggregate`, `watch`, `close`), PyMongo answers something to await. `settled` takes either, so
nothing above this file can tell them apart, and the move is a change of one default.

Writes wait for the majority, and reads ask the primary for what the majority holds, whatever the address says, since
every promise of the service stands on that: what one process was answered, the next read of any process sees. Every
wait is bounded: finding a server, connecting, an answer, a connection of the pool.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Literal, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

from bson.codec_options import CodecOptions
from gridfs.asynchronous import AsyncGridFSBucket
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorGridFSBucket
from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

from app.startup import StartupTrouble, mongodb_refused, mongodb_unreachable, not_a_replica_set, without_credentials
from app.storage.observing import MongoListener, StoreObserver

Document = dict[str, Any]
Driver = Literal["motor", "pymongo"]

DURABLE: dict[str, Any] = {
    "w": "majority",
    "readConcernLevel": "majority",
    "readPreference": "primary",
    "retryWrites": True,
    "retryReads": True,
}
READABLE: dict[str, Any] = {"datetime_conversion": "DATETIME_AUTO", "unicode_decode_error_handler": "replace"}
"""A value that Python has no room for must not make the driver refuse all documents that were read with it."""
BOUNDS: dict[str, Any] = {
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 20_000,
    "waitQueueTimeoutMS": 5_000,
    "wTimeoutMS": 10_000,
}
"""Defaults: an address may set its own bounds, never a weaker durability."""


class Cursor(Protocol):
    """What a find answers: to be iterated, or taken whole."""

    def __aiter__(self) -> AsyncIterator[Document]: ...

    def sort(self, keys: Sequence[tuple[str, int]]) -> Cursor: ...
    def hint(self, index: str) -> Cursor: ...

    def limit(self, limit: int) -> Cursor: ...

    def batch_size(self, batch_size: int) -> Cursor: ...

    async def to_list(self, length: int | None = None) -> list[Document]: ...


class Collection(Protocol):
    """What both drivers' collections have in common and the stores use."""

    name: str

    def find(self, query: Mapping[str, Any], /, *args: Any, **options: Any) -> Cursor: ...

    async def find_one(self, query: Mapping[str, Any], /, *args: Any, **options: Any) -> Document | None: ...

    async def find_one_and_update(
        self, query: Mapping[str, Any], update: Any, /, *args: Any, **options: Any
    ) -> Document | None: ...

    async def insert_one(self, document: Document, /, **options: Any) -> Any: ...

    async def insert_many(self, documents: Sequence[Document], /, **options: Any) -> Any: ...

    async def update_one(self, query: Mapping[str, Any], update: Any, /, **options: Any) -> Any: ...

    async def delete_one(self, query: Mapping[str, Any], /, **options: Any) -> Any: ...

    async def delete_many(self, query: Mapping[str, Any], /, **options: Any) -> Any: ...

    async def bulk_write(self, requests: Sequence[Any], /, **options: Any) -> Any: ...

    async def count_documents(self, query: Mapping[str, Any], /, **options: Any) -> int: ...

    async def create_indexes(self, indexes: Sequence[Any], /, **options: Any) -> list[str]: ...

    async def drop_index(self, name: str, /) -> None: ...


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What server this is. `set_name` is None for a standalone one."""

    version: str
    set_name: str | None


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a replica set, over either driver. Nothing is sent before the first call."""

    uri: str = field(repr=False)
    name: str
    driver: Driver
    client: Any = field(repr=False)
    raw: Any = field(repr=False)

    def __getitem__(self, collection: str) -> Collection:
        return cast("Collection", self.raw[collection])

    async def command(self, command: str, **arguments: Any) -> Document:
        """Run a database command; its times are UTC and aware."""
        options: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
        return cast("Document", await self.raw.command(command, codec_options=options, **arguments))

    async def aggregate(self, collection: str, pipeline: Sequence[Document], **options: Any) -> AsyncIterator[Document]:
        """The documents that the pipeline answers."""
        cursor = await settled(self.raw[collection].aggregate(pipeline, **options))
        async for document in cursor:
            yield document

    @asynccontextmanager
    async def watch(self, pipeline: Sequence[Document], **options: Any) -> AsyncIterator[Any]:
        """An open change stream over the whole database: async iterable, with `try_next` and `resume_token`."""
        async with await settled(self.raw.watch(pipeline, **options)) as stream:
            yield stream

    def bucket(self, name: str) -> Any:
        """A GridFS bucket."""
        if self.driver == "motor":
            return AsyncIOMotorGridFSBucket(self.raw, bucket_name=name)
        return AsyncGridFSBucket(self.raw, bucket_name=name)

    async def close(self) -> None:
        """End all connections."""
        await settled(self.client.close())


async def next_changes(stream: Any) -> list[Document]:
    """The changes of a change stream that arrived together; empty when none came within its wait.

    Motor takes a thread for each `try_next`, also for what is already here. Neither driver tells in public what is,
    hence the look at the cursor of the synchronous stream (`_has_next`, which the contract tests of the feed hold).
    """
    change = await stream.try_next()
    if change is None:
        return []
    changes = [change]
    inner = getattr(stream, "delegate", stream)
    while inner.alive and inner._cursor._has_next():
        changes.append(await settled(inner.try_next()))
    return [c for c in changes if c is not None]


async def settled(answer: Any) -> Any:
    """What a call answers, whichever driver it went to."""
    return await answer if inspect.isawaitable(answer) else answer


def connect(uri: str, database: str, *, driver: Driver = "motor", observer: StoreObserver | None = None) -> Database:
    """A handle for `mongodb://` or `mongodb+srv://`; `observer` is told of every command. Raises StartupTrouble when
    the address itself is wrong."""
    make: Any = AsyncIOMotorClient if driver == "motor" else AsyncMongoClient
    options = {**DURABLE, **READABLE, **_bounds(uri), "event_listeners": [MongoListener(observer)] if observer else []}
    try:
        client = make(uri, tz_aware=True, tzinfo=UTC, appname="tensorfleet", **options)
    except (PyMongoError, ValueError) as error:
        raise StartupTrouble(f"MONGODB_URI cannot be used: {without_credentials(str(error), uri)}") from error
    return Database(uri, database, driver, client, client[database])


def _bounds(uri: str) -> dict[str, Any]:
    """The bounds that the address does not set itself."""
    given = {name.lower() for name, _ in parse_qsl(urlsplit(uri).query, keep_blank_values=True)}
    return {name: value for name, value in BOUNDS.items() if name.lower() not in given}


async def describe(database: Database) -> ServerFacts:
    """Ask the server what it is. Raises what the driver raises."""
    hello = await database.command("hello")
    build = await database.command("buildInfo")
    return ServerFacts(str(build["version"]), hello.get("setName"))


async def verify(database: Database) -> ServerFacts:
    """As `describe`; raises StartupTrouble when the server is away, refuses us, or is no replica set."""
    begun = time.monotonic()
    try:
        facts = await describe(database)
    except (OperationFailure, ConfigurationError) as error:
        raise StartupTrouble(mongodb_refused(database.uri, str(error))) from error
    except PyMongoError as error:
        waited = round(time.monotonic() - begun, 1)
        raise StartupTrouble(mongodb_unreachable(database.uri, _brief(error), waited)) from error
    if facts.set_name is None:
        raise StartupTrouble(not_a_replica_set(database.uri))
    return facts


def _brief(error: PyMongoError) -> str:
    """The driver's words without its dump of timeouts and topology."""
    return str(error).split(" (configured timeouts", 1)[0].split(", Timeout:", 1)[0]
