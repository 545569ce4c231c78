"""The change feed: one change stream, read until the process ends, whatever happens to the connection.

- A driver's error that may pass: the stream is opened again at the last place, after a short pause. Nothing is missed.
- The place is lost (the server's history is shorter than the outage, the database was dropped, a client sent a token
  that the server refuses): one `resync` event, then on from the present. Never a silent gap, nor a loop without pause.
- The server has no change streams: the store is polled, with the same events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from enum import Enum

import structlog
from pymongo.errors import OperationFailure, PyMongoError

from app.domain.errors import Unavailable
from app.domain.events import Event
from app.storage.failures import answered, unanswered
from app.storage.feed.cancellation import heed_cancellation
from app.storage.feed.events import resync_event
from app.storage.feed.poll import EVERY, Poll
from app.storage.feed.subjects import EventSubjects
from app.storage.feed.token import PollPoint, WatchPoint, decode
from app.storage.feed.watch import Watch, point_before, point_now
from app.storage.indexes import POLL_INDEXES, ensure_indexes
from app.storage.mongo import Database

log = structlog.get_logger()

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
HEALTHY = 5.0
"""A stream that lasted this many seconds makes the next pause a short one again."""
NOW = timedelta(0)
CLOCKS_APART = 60
"""A token may be this many seconds ahead of our own place: another process read it from a server that is ahead."""
FOREIGN = "the token is not one of this feed"
_RESUMABLE = "ResumableChangeStreamError"
_PASSING = frozenset({43, 63, 133, 150, 234, 13388})
"""Cursor not found, stale routing, no server for the read preference: the same place can be opened again."""


class Verdict(Enum):
    """What an error of the stream means."""

    AGAIN = "again"
    LOST = "lost"
    REFUSED = "refused"


def judge(error: PyMongoError, *, resuming: bool) -> Verdict:
    """What to do after this error. `resuming`: the stream had a place. Raises the error where nothing can be done."""
    if unanswered(error) or error.has_error_label(_RESUMABLE):
        return Verdict.AGAIN
    if not isinstance(error, OperationFailure):
        raise error
    if error.code in _PASSING:
        return Verdict.AGAIN
    # 286, 280, 260 and the two dozen codes with which a server refuses a token that it did not make.
    return Verdict.LOST if resuming else Verdict.REFUSED


class MongoChangeFeed:
    """`ChangeFeed` over a database. Iterate `events` once a process; the fan-out is the hub's."""

    def __init__(self, database: Database, *, poll_seconds: float = EVERY) -> None:
        self._database = database
        self._poll_seconds = poll_seconds
        self._subjects = EventSubjects(database["jobs"])
        self._open = asyncio.Event()
        self._place: Watch | Poll | None = None
        self._refused = False

    @property
    def mode(self) -> str:
        """`watch` or `poll`."""
        return "poll" if self._refused else "watch"

    async def opened(self) -> None:
        """Returns when an iterator of `events` is open."""
        await self._open.wait()

    async def caught_up(self) -> None:
        """Returns when the iterator of `events` has told all that was durable when it was opened."""
        await self._open.wait()
        if self._place is not None:
            await self._place.caught_up.wait()

    async def valid_token(self, token: str) -> bool:
        """Whether this can be a token of this feed; one from the future is none."""
        point = decode(token)
        if isinstance(point, PollPoint):
            return self._refused
        here = self._place.position if isinstance(self._place, Watch) else None
        return point is not None and not self._refused and not (here and point.seconds > here.seconds + CLOCKS_APART)

    async def token_now(self) -> str:
        """Where the open iterator is; without one, where the store is. Raises Unavailable."""
        place = self._place
        if place is not None and place.position is not None:
            return place.position.text
        with answered():
            return await self._token(NOW)

    async def token_before(self, span: timedelta) -> str:
        """From it `events` tells what became durable so long before now, or a resync. Raises Unavailable."""
        with answered():
            return await self._token(span)

    async def _token(self, span: timedelta) -> str:
        """A token of so long before the present; nothing is left open."""
        watch = Watch(self._database, self._subjects)
        while not self._refused:
            try:
                async with watch.open():
                    now = watch.position or await point_now(self._database)
                return (await point_before(self._database, now, span) if span else now).text
            except OperationFailure as error:
                if unanswered(error):
                    raise
                self._recover(watch, error)
        poll = Poll(self._database, self._subjects)
        await poll.start(None)
        return poll.position.before(span).text

    async def events(self, after: str | None = None) -> AsyncGenerator[Event, None]:
        """From now on, or after that token. Raises what no patience can mend: a closed client."""
        self._place = None
        self._open.clear()
        if not self._refused:
            async with aclosing(self._watched(after)) as events:
                async for event in events:
                    yield event
        async with aclosing(self._polled(after)) as events:
            async for event in events:
                yield event

    async def _watched(self, after: str | None) -> AsyncGenerator[Event, None]:
        """Ends only when the server turns out to have no change streams."""
        point = decode(after) if after is not None else None
        watch = Watch(self._database, self._subjects, point if isinstance(point, WatchPoint) else None)
        if after is not None and watch.position is None:
            watch.lose(FOREIGN)
        pause, loop = FIRST_PAUSE, asyncio.get_running_loop()
        while not self._refused:
            begun = loop.time()
            try:
                async with aclosing(self._read(watch)) as events:
                    async for event in events:
                        yield event
                watch.lose("the stored history was dropped")
            except PyMongoError as error:
                self._recover(watch, error)
            pause = FIRST_PAUSE if loop.time() - begun > HEALTHY else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _read(self, watch: Watch) -> AsyncGenerator[Event, None]:
        if not watch.caught_up.is_set():
            await watch.look_ahead()
        async with watch.open() as stream:
            self._place = watch
            self._open.set()
            async for event in watch.events(stream):
                yield event

    def _recover(self, watch: Watch, error: PyMongoError) -> None:
        """Have the next opening do the right thing after this error."""
        code = error.code if isinstance(error, OperationFailure) else None
        verdict = judge(error, resuming=watch.position is not None)
        log.warning("feed.interrupted", error=type(error).__name__, code=code, verdict=verdict.value)
        if verdict is Verdict.LOST:
            watch.lose("the stored history no longer reaches back to the last event")
        elif verdict is Verdict.REFUSED:
            self._refused = True

    async def _polled(self, after: str | None) -> AsyncGenerator[Event, None]:
        """Never ends by itself."""
        point = decode(after) if after is not None else None
        poll = Poll(self._database, self._subjects)
        while True:
            try:
                if self._place is not poll:
                    await ensure_indexes(self._database, POLL_INDEXES)
                    await poll.start(point if isinstance(point, PollPoint) else None)
                    self._place = poll
                    self._open.set()
                    if after is not None and not isinstance(point, PollPoint):
                        yield resync_event(FOREIGN, poll.position.text)
                async for event in poll.events():
                    yield event
                poll.caught_up.set()
            except (PyMongoError, Unavailable) as error:
                if isinstance(error, PyMongoError) and not unanswered(error):
                    raise
                log.warning("feed.interrupted", error=type(error).__name__, verdict=Verdict.AGAIN.value)
            heed_cancellation()
            await asyncio.sleep(self._poll_seconds)
