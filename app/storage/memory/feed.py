"""A memory adapter of the change feed, for tests: whoever writes also publishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

from app.domain.events import Event
from app.storage.feed.events import resync_event
from app.storage.feed.token import WatchPoint, decode


class MemoryFeed:
    """`ChangeFeed` over a list of all that was published."""

    mode = "watch"

    def __init__(self) -> None:
        self._told: list[Event] = []
        self._more = asyncio.Condition()
        self._open = asyncio.Event()
        self._caught_up = asyncio.Event()

    async def publish(self, *events: Event) -> None:
        """One write's events: the last gets the token."""
        async with self._more:
            self._told += events[:-1]
            self._told += [event.at(_token(len(self._told) + 1)) for event in events[-1:]]
            self._more.notify_all()

    async def opened(self) -> None:
        await self._open.wait()

    async def caught_up(self) -> None:
        await self._caught_up.wait()

    async def token_before(self, span: timedelta) -> str:
        """Nothing here is older than any span."""
        return _token(0 if span else len(self._told))

    async def token_now(self) -> str:
        return _token(len(self._told))

    async def valid_token(self, token: str) -> bool:
        return self._place(token) is not None

    def _place(self, token: str) -> int | None:
        point = decode(token)
        place = point.seconds if isinstance(point, WatchPoint) else None
        return place if place is not None and place <= len(self._told) else None

    async def events(self, after: str | None = None) -> AsyncGenerator[Event, None]:
        """From now on, or after that token."""
        place = len(self._told) if after is None else self._place(after)
        if place is None:
            place = len(self._told)
            yield resync_event("the token is not one of this feed", _token(place))
        self._open.set()
        horizon = len(self._told)
        while True:
            if place >= horizon:
                self._caught_up.set()
            async with self._more:
                while len(self._told) <= place:
                    await self._more.wait()
            place += 1
            yield self._told[place - 1]


def _token(place: int) -> str:
    """Of the form of the real ones: the place is the time."""
    return WatchPoint(f"82{place:08X}00000000").text
