"""The same events without a change stream: what was written is asked for each second.

Each source is asked by its own time, and again for the seconds before the newest it has answered, since a write becomes
durable some time after the moment that it carries. What was told of those seconds is remembered, so that nothing is
told twice; after a resume, where nothing is remembered, those seconds are told again rather than left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from app.domain.events import Event
from app.storage.feed.events import (
    batch_event,
    entry_events,
    log_events,
    node_event,
    progress_event,
    workflow_events,
)
from app.storage.feed.subjects import EventSubjects
from app.storage.feed.token import PollPoint
from app.storage.mongo import Collection, Database, Document

log = structlog.get_logger()

OVERLAP = timedelta(seconds=5)
EVERY = 1.0
"""Seconds between two rounds."""
ENTRIES = 50
"""Newest history entries looked at of a job that changed: more within the overlap than a job can have."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Source:
    """A collection asked by a time in its documents, from `since` on. What was told of that is remembered by key."""

    def __init__(self, collection: Collection, time_field: str, fields: Document, also: Document | None = None) -> None:
        self.newest = self.since = _LONG_AGO
        self._collection = collection
        self._time_field = time_field
        self._fields = fields
        self._also = also or {}
        self._told: dict[str, datetime] = {}

    def go_to(self, at: datetime) -> None:
        """Go on from that moment."""
        self.newest = at
        self.forget()

    async def go_to_newest(self) -> None:
        """Go on from the newest document that has the time."""
        query = {self._time_field: {"$type": "date"}, **self._also}
        newest = self._collection.find(query, {self._time_field: 1}).sort([(self._time_field, -1)]).limit(1)
        async for document in newest:
            self.go_to(_part(document, self._time_field))

    async def changed(self) -> AsyncIterator[Document]:
        """The documents since then, by time."""
        query = {self._time_field: {"$gte": self.since}, **self._also}
        async for document in self._collection.find(query, self._fields).sort([(self._time_field, 1)]):
            yield document

    def is_new(self, key: str, at: datetime) -> bool:
        """Whether this was not told yet; it counts as told from now on."""
        if at < self.since or key in self._told:
            return False
        self._told[key] = at
        self.newest = max(self.newest, at)
        return True

    def forget(self) -> None:
        """A round is over: ask from the overlap on, and forget what lies before it."""
        self.since = max(self.newest - OVERLAP, _LONG_AGO)
        self._told = {key: at for key, at in self._told.items() if at >= self.since}


def _part(document: Document, path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value[name]
    return value


async def _readable(tell: Callable[[Document], Awaitable[list[Event]]], document: Document) -> list[Event]:
    """The events of a document; none of one that cannot be read, which never stops the feed."""
    try:
        return await tell(document)
    except (AttributeError, KeyError, TypeError, ValueError):
        log.exception("feed.document_unreadable", id=str(document.get("_id"))[:200])
        return []


class Poll:
    """A place in what was written, by time. `caught_up` is set after the first round."""

    def __init__(self, database: Database, subjects: EventSubjects) -> None:
        self.caught_up = asyncio.Event()
        self._subjects = subjects
        newest = {"last": 1, "history": {"$slice": -ENTRIES}}
        self._jobs = Source(database["jobs"], "last.at", newest)
        self._running = Source(database["jobs"], "progress.at", {"last": 1, "progress": 1}, {"status": "RUNNING"})
        self._logs = Source(database["logs"], "at", {"job_id": 1, "run_no": 1, "at": 1, "lines": 1})
        self._nodes = Source(database["nodes"], "last.at", {"last": 1})
        self._batches = Source(database["batches"], "last.at", {"last": 1})
        self._workflows = Source(database["workflows"], "last.at", {"last": 1})

    @property
    def _sources(self) -> tuple[Source, ...]:
        return (self._jobs, self._running, self._logs, self._nodes, self._batches, self._workflows)

    @property
    def position(self) -> PollPoint:
        """The newest moment told."""
        return PollPoint(max(s.newest for s in self._sources))

    async def start(self, point: PollPoint | None) -> None:
        """Go on from there, the overlap before it included; None: from the present, the overlap counts as told."""
        for source in self._sources:
            if point is None:
                await source.go_to_newest()
            else:
                source.go_to(point.at)
        if point is None:
            async for _ in self.events():
                pass

    async def events(self) -> AsyncIterator[Event]:
        """One round: what was written since the last one, the last event of each write with a token."""
        for source, tell in self._tellers():
            async for document in source.changed():
                events = await _readable(tell, document)
                for event in events[:-1]:
                    yield event
                for event in events[-1:]:
                    yield event.at(self.position.text)
            source.forget()

    def _tellers(self) -> tuple[tuple[Source, Callable[[Document], Any]], ...]:
        return (
            (self._jobs, self._tell_entries),
            (self._running, self._tell_progress),
            (self._logs, self._tell_lines),
            (self._nodes, self._tell_node),
            (self._batches, self._tell_batch),
            (self._workflows, self._tell_workflow),
        )

    async def _tell_entries(self, job: Document) -> list[Event]:
        last = job["last"]
        self._subjects.remember(job["_id"], last)
        entries = [e for e in job["history"] if self._jobs.is_new(f"{job['_id']}:{e['seq']}", e["at"])]
        return [event for entry in entries for event in entry_events(job["_id"], entry, last)]

    async def _tell_progress(self, job: Document) -> list[Event]:
        progress = job["progress"]
        if not self._running.is_new(f"{job['_id']}:{progress['at'].timestamp()}", progress["at"]):
            return []
        return [progress_event(job["_id"], progress, await self._subjects.of(job["_id"]))]

    async def _tell_lines(self, chunk: Document) -> list[Event]:
        if not self._logs.is_new(chunk["_id"], chunk["at"]):
            return []
        return list(log_events(chunk, await self._subjects.of(chunk["job_id"])))

    async def _tell_node(self, node: Document) -> list[Event]:
        last = node["last"]
        if not self._nodes.is_new(f"{node['_id']}:{last['at'].timestamp()}", last["at"]):
            return []
        return [node_event(node["_id"], last)]

    async def _tell_batch(self, batch: Document) -> list[Event]:
        """Its newest state: what it passed through since the last round is told by its history alone."""
        last = batch["last"]
        if not self._batches.is_new(f"{batch['_id']}:{last['seq']}:{last['at'].timestamp()}", last["at"]):
            return []
        return [batch_event(batch["_id"], last)]

    async def _tell_workflow(self, workflow: Document) -> list[Event]:
        """The newest change of a workflow; of several within a second only that one is told, as of a node."""
        last = workflow["last"]
        if not self._workflows.is_new(f"{workflow['_id']}:{last['seq']}", last["at"]):
            return []
        return list(workflow_events(workflow["_id"], last))
