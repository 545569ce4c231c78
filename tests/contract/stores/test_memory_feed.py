"""The memory feed keeps the promises on which the hub's tests stand."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from app.domain.events import Event
from app.storage.memory.feed import MemoryFeed


def state(n: int) -> Event:
    return Event("job.state", {"type": "job.state", "seq": n})


async def test_it_tells_what_is_published_after_it_was_opened() -> None:
    feed = MemoryFeed()
    await feed.publish(state(1))
    events = feed.events()
    told = asyncio.create_task(anext(events))
    await feed.opened()
    await feed.publish(state(2), state(3))
    first, second = await told, await anext(events)
    assert [first.data["seq"], second.data["seq"]] == [2, 3]
    assert (first.token, second.token) == (None, await feed.token_now())


async def test_it_is_caught_up_when_all_that_was_there_is_told() -> None:
    feed = MemoryFeed()
    await feed.publish(state(1))
    await feed.publish(state(2))
    events = feed.events(await feed.token_before(timedelta(minutes=5)))
    caught_up = asyncio.create_task(feed.caught_up())
    assert [(await anext(events)).data["seq"] for _ in range(2)] == [1, 2]
    assert not caught_up.done()
    more = asyncio.create_task(anext(events))
    await caught_up
    more.cancel()


async def test_a_token_leads_to_what_follows_and_a_foreign_one_to_a_resync() -> None:
    feed = MemoryFeed()
    await feed.publish(state(1))
    token = await feed.token_now()
    await feed.publish(state(2))
    assert await feed.valid_token(token)
    assert (await anext(feed.events(token))).data["seq"] == 2
    assert not await feed.valid_token("no token")
    assert (await anext(feed.events("no token"))).type == "resync"
