"""Who comes back with a place that another process told is told what follows it: all of it, once, without a resync."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.api.hub import Hub
from app.api.sse import HEARTBEAT, all_events
from app.api.workflow_stream import workflow_events
from app.domain.events import Event, EventFilter
from app.metrics import Metrics
from app.storage.memory.feed import MemoryFeed
from tests.support.wait import until

BEGINNING, NOW = timedelta(minutes=5), timedelta(0)


def event(n: int) -> Event:
    return Event("node.state", {"type": "node.state", "n": n}, subject={"workflow_id": "wf_1"})


class Behind(MemoryFeed):
    """The feed of a process that is not as far as the store while `gate` is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self._here: str | None = None

    async def token_now(self) -> str:
        return self._here or await self.token_before(BEGINNING)

    async def events(self, after: str | None = None) -> AsyncGenerator[Event, None]:
        async for each in super().events(after):
            await self.gate.wait()
            self._here = each.token
            yield each


async def test_a_process_that_is_behind_comes_to_the_place_before_it_goes_on() -> None:
    feed = Behind()
    async with Hub(feed, Metrics()) as hub:
        await hub.opened()
        await feed.publish(event(1))
        async with aclosing(all_events(hub, EventFilter(), await feed.token_before(NOW), None)) as coming:
            first = asyncio.ensure_future(anext(coming))
            await asyncio.wait([first], timeout=0.1)
            feed.gate.set()
            assert await first == HEARTBEAT, "nothing was missed"
            await feed.publish(event(2))
            assert b'"n":2' in await anext(coming)


async def test_a_place_that_is_not_reached_in_time_gives_a_resync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.hub.LOOKS", 2)
    feed = Behind()
    async with Hub(feed, Metrics()) as hub:
        await hub.opened()
        await feed.publish(event(1))
        async with aclosing(all_events(hub, EventFilter(), await feed.token_before(NOW), None)) as coming:
            assert b"event: resync" in await anext(coming)


async def test_what_happens_while_the_workflow_is_read_is_told_once() -> None:
    feed = MemoryFeed()
    async with Hub(feed, Metrics()) as hub:
        await hub.opened()
        place = await feed.token_before(NOW)

        async def get(_: str) -> Any:
            await feed.publish(event(1))
            await until(lambda: hub.after(place))
            return SimpleNamespace(over=False)

        state = cast("Any", SimpleNamespace(hub=hub, services=SimpleNamespace(workflows=SimpleNamespace(get=get))))
        async with aclosing(workflow_events(state, "wf_1", place, frozenset(), 60)) as coming:
            frames = await anext(coming) + await anext(coming)
        assert frames.count(b'"n":1') == 1
