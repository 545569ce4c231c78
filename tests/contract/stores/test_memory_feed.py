"""The memory feed keeps the promises on which the hub's tests stand."""

from __future__ import annotations

import asyncio

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


async def test_a_token_leads_to_what_follows_and_a_foreign_one_to_a_resync() -> None:
    feed = MemoryFeed()
    await feed.publish(state(1))
    token = await feed.token_now()
    await feed.publish(state(2))
    assert await feed.valid_token(token)
    assert (await anext(feed.events(token))).data["seq"] == 2
    assert not await feed.valid_token("no token")
    assert (await anext(feed.events("no token"))).type == "resync"
