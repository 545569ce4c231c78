"""Reading the change stream: one stream over the collections that events come from, filtered and cut by the server.

Without the filter each chunk of every stored file would be delivered; without the projection, whole jobs. A `Watch` is
a place in the stream that outlives the cursors it is read through: a cursor ends by an error, or quietly when the
database was dropped, and the next one goes on from the place. When the place is lost, reading starts at the present and
tells a `resync` first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol

import structlog
from bson import Timestamp

from app.domain.events import Event
from app.storage.feed.cancellation import heed_cancellation
from app.storage.feed.events import (
    batch_event,
    entry_events,
    log_events,
    node_event,
    progress_event,
    resync_event,
    workflow_events,
)
from app.storage.feed.subjects import EventSubjects
from app.storage.feed.token import WatchPoint
from app.storage.mongo import Database, Document, next_changes

log = structlog.get_logger()

WAIT_MS = 500
"""How long the server holds an empty answer back; a change is delivered at once."""
BATCH = 500
LEAST_GAP = 0.01
"""Seconds between two reads while changes keep coming: those that come one by one are read together."""
_WRITES = ["insert", "update", "replace"]
_GONE = ["drop", "rename", "dropDatabase", "invalidate"]
_CHANGED_NAMES = {
    "$map": {"input": {"$objectToArray": {"$ifNull": ["$updateDescription.updatedFields", {}]}}, "in": "$$this.k"}
}
_OF_LAST = {"$eq": [{"$indexOfBytes": ["$$this", "last."]}, 0]}
# An update by a pipeline may tell a changed sub-document by its changed parts only (`last.at`), as a node's is.
_LAST_IN_PARTS = {
    "$and": [{"$eq": ["$ns.coll", "nodes"]}, {"$anyElementTrue": [{"$map": {"input": _CHANGED_NAMES, "in": _OF_LAST}}]}]
}
_STATES = ["jobs", "nodes", "batches", "workflows"]
_OURS = {
    "$or": [
        {"ns.coll": {"$in": _STATES}, "operationType": {"$in": _WRITES}},
        {"ns.coll": "logs", "operationType": "insert"},
        {
            "ns.coll": {"$in": ["jobs", "nodes", "batches", "logs", "workflows"]},
            "operationType": {"$in": ["drop", "rename"]},
        },
        {"operationType": {"$in": ["dropDatabase", "invalidate"]}},
    ]
}
_WANTED = {
    "operationType": 1,
    "ns.coll": 1,
    "documentKey": 1,
    "fullDocument.last": 1,
    "fullDocument.job_id": 1,
    "fullDocument.run_no": 1,
    "fullDocument.lines": 1,
    "updateDescription.updatedFields.last": 1,
    "updateDescription.updatedFields.progress": 1,
    "last_in_parts": _LAST_IN_PARTS,
}
_TELLING = {
    "$or": [
        {"operationType": {"$in": _GONE}},
        {"fullDocument.last": {"$exists": True}},
        {"fullDocument.lines": {"$exists": True}},
        {"updateDescription.updatedFields.last": {"$exists": True}},
        {"updateDescription.updatedFields.progress": {"$exists": True}},
        {"last_in_parts": True},
    ]
}
PIPELINE: list[Document] = [{"$match": _OURS}, {"$project": _WANTED}, {"$match": _TELLING}]


class ChangeStream(Protocol):
    """What both drivers' change streams have in common and the feed uses."""

    alive: bool
    resume_token: Mapping[str, Any] | None

    async def try_next(self) -> Document | None: ...


async def point_now(database: Database) -> WatchPoint:
    """The present place, however much is being written: an opened stream has none while it holds changes unread.
    Raises the driver's errors."""
    return await _point(database, {})


async def point_before(database: Database, point: WatchPoint, span: timedelta) -> WatchPoint:
    """A place so long before another, whether or not the server's history reaches back to it. Raises the driver's
    errors."""
    begin = Timestamp(max(1, point.seconds - round(span.total_seconds())), 0)
    return await _point(database, {"startAtOperationTime": begin})


async def _point(database: Database, options: Document) -> WatchPoint:
    stages = [{"$changeStream": options}]
    cursor = (await database.command("aggregate", pipeline=stages, cursor={"batchSize": 0}))["cursor"]
    await database.command("killCursors", value="$cmd.aggregate", cursors=[cursor["id"]])
    return WatchPoint.of(cursor["postBatchResumeToken"])


class Watch:
    """A place in the change stream; `position` is None until it is opened at the present. `lost`: a resync is owed.

    `caught_up` is set when all that was durable at the last `look_ahead` has been told.
    """

    def __init__(self, database: Database, subjects: EventSubjects, position: WatchPoint | None = None) -> None:
        self.position = position
        self.lost: str | None = None
        self.caught_up = asyncio.Event()
        self._horizon: str | None = None
        self._database = database
        self._nodes = database["nodes"]
        self._subjects = subjects

    def lose(self, reason: str) -> None:
        """The place is gone: go on from the present, and say so."""
        self.position = None
        self.lost = reason

    async def look_ahead(self) -> None:
        """Take note of the present; a server without change streams may have none. Raises the driver's errors."""
        now = (await self._database.command("hello")).get("operationTime")
        self._horizon = None if now is None else f"{now.time:08X}{now.inc:08X}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ChangeStream]:
        """A cursor at the place, else at the present, which then is the place. Raises the driver's errors."""
        after = None if self.position is None else self.position.document
        async with self._database.watch(
            PIPELINE, resume_after=after, max_await_time_ms=WAIT_MS, batch_size=BATCH
        ) as stream:
            self._reach(stream)
            yield stream

    def _reach(self, stream: ChangeStream) -> None:
        """All that came so far has been told. A stream that was opened at the present and holds changes unread has no
        token yet: the first of them brings one."""
        if stream.resume_token is None:
            return
        self.position = WatchPoint.of(stream.resume_token)
        if self._horizon is not None and self.position.cluster_time >= self._horizon:
            self.caught_up.set()

    async def events(self, stream: ChangeStream) -> AsyncIterator[Event]:
        """What the cursor delivers, until it ends: the events of each change, after the resync that is owed; a drop of
        data only makes one owed. Raises the driver's errors."""
        while stream.alive:
            changes = await next_changes(stream)
            heed_cancellation()
            for change in changes:
                if change["operationType"] in _GONE:
                    self.lost = "stored data was dropped"
                    continue
                if (owed := self._owed()) is not None:
                    yield owed
                point = WatchPoint.of(change["_id"])
                for event in await self._told(change, point):
                    yield event
                self.position = point
            if not changes and (owed := self._owed()) is not None:
                yield owed
            self._reach(stream)
            if changes:
                await asyncio.sleep(LEAST_GAP)

    def _owed(self) -> Event | None:
        if self.lost is None or self.position is None:
            return None
        reason, self.lost = self.lost, None
        return resync_event(reason, self.position.text)

    async def _told(self, change: Mapping[str, Any], point: WatchPoint) -> list[Event]:
        """The events of a change, the last of them with its token. One unreadable document never stops the feed."""
        try:
            events = await self._events(change)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.error("feed.change_unreadable", key=change.get("documentKey"), error=repr(error))
            return []
        return [*events[:-1], *(e.at(point.text) for e in events[-1:])]

    async def _events(self, change: Mapping[str, Any]) -> list[Event]:
        key, collection = change["documentKey"]["_id"], change["ns"]["coll"]
        stored = change.get("fullDocument") or {}
        written = stored or change["updateDescription"].get("updatedFields", {})
        if collection == "logs":
            return list(log_events(stored, await self._subjects.of(stored["job_id"])))
        if collection == "nodes":
            return await self._node_events(key, written)
        if collection == "batches":
            return [batch_event(key, written["last"])] if "last" in written else []
        if collection == "workflows":
            return list(workflow_events(key, written["last"])) if "last" in written else []
        return await self._job_events(key, written)

    async def _node_events(self, node_id: str, written: Mapping[str, Any]) -> list[Event]:
        last = written.get("last")
        if last is None:
            found = await self._nodes.find_one({"_id": node_id}, {"last": 1})
            last = (found or {}).get("last")
        return [node_event(node_id, last)] if last else []

    async def _job_events(self, job_id: str, written: Mapping[str, Any]) -> list[Event]:
        """Progress first: it belongs to the run that the entry may have ended."""
        last, progress = written.get("last"), written.get("progress")
        if last:
            self._subjects.remember(job_id, last)
        events = [progress_event(job_id, progress, await self._subjects.of(job_id))] if progress else []
        return [*events, *entry_events(job_id, last, last)] if last else events
