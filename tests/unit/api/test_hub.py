"""The hub alone: bounded queues, the ring, tokens of groups."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app.api.hub import NOW, SPANS, Hub
from app.domain.events import Event, EventFilter
from app.metrics import Metrics
from app.storage.memory.feed import MemoryFeed
from tests.support.wait import until


def event(n: int, **subject: str) -> Event:
    return Event("node.state", {"type": "node.state", "n": n}, subject=subject)


def numbers(hub: Hub, token: str) -> list[int] | None:
    found = hub.after(token)
    return None if found is None else [d.event.data["n"] for d in found]


async def test_a_slow_subscriber_gets_one_resync_and_never_slows_the_others() -> None:
    feed, metrics = MemoryFeed(), Metrics()
    async with Hub(feed, metrics) as hub:
        await hub.opened()
        with hub.subscription(EventFilter()) as slow, hub.subscription(EventFilter()) as quick:
            for n in range(2_500):
                hub.publish(event(n))
                if n % 100 == 0:
                    await quick.next(1)
            await quick.next(1)
            got = await slow.next(1)
            assert got[0].event.type == "resync"
            assert sum(d.event.type == "resync" for d in got) == 1
            assert len(got) <= 1_000
            assert got[-1].event.data["n"] == 2_499
        assert metrics.registry.get_sample_value("tensorfleet_stream_resyncs_total", {"cause": "slow"}) == 2
        assert metrics.registry.get_sample_value("tensorfleet_stream_subscribers") == 0


async def test_the_ring_answers_as_far_back_as_it_reaches() -> None:
    feed = MemoryFeed()
    async with Hub(feed, Metrics(), ring=3) as hub:
        await hub.opened()
        origin = await feed.token_now()
        tokens = []
        for n in range(3):
            await feed.publish(event(n))
            tokens.append(await feed.token_now())
        await until(lambda: numbers(hub, origin) == [0, 1, 2])
        assert numbers(hub, tokens[0]) == [1, 2]
        assert numbers(hub, tokens[2]) == []
        await feed.publish(event(3))
        await until(lambda: numbers(hub, tokens[0]) == [1, 2, 3])
        assert numbers(hub, origin) is None


async def test_a_group_of_one_write_is_never_cut() -> None:
    feed = MemoryFeed()
    async with Hub(feed, Metrics(), ring=4) as hub:
        await hub.opened()
        origin = await feed.token_now()
        await feed.publish(event(0))
        first = await feed.token_now()
        await feed.publish(event(1), event(2))
        group = await feed.token_now()
        await until(lambda: numbers(hub, first) == [1, 2])
        await feed.publish(event(3))
        await feed.publish(event(4))
        await until(lambda: numbers(hub, group) == [3, 4])
        assert numbers(hub, first) == [1, 2, 3, 4]
        await feed.publish(event(5))
        await until(lambda: numbers(hub, group) == [3, 4, 5])
        assert numbers(hub, first) is None, "event 1 of the group has left the ring"
        assert numbers(hub, origin) is None


async def test_a_token_of_another_process_between_two_events_is_found() -> None:
    feed = MemoryFeed()
    async with Hub(feed, Metrics()) as hub:
        await hub.opened()
        await feed.publish(event(0))
        between = await feed.token_now() + "01"
        await feed.publish(event(1))
        await until(lambda: numbers(hub, between) == [1])


async def test_events_of_other_jobs_do_not_reach_a_job_subscriber() -> None:
    feed = MemoryFeed()
    async with Hub(feed, Metrics()) as hub:
        await hub.opened()
        with hub.subscription(EventFilter(job_id="job_a")) as mine:
            hub.publish(event(1, job_id="job_b"))
            hub.publish(event(2, job_id="job_a"))
            assert [d.event.data["n"] for d in await mine.next(1)] == [2]


async def test_an_event_is_encoded_once_for_all() -> None:
    feed = MemoryFeed()
    async with Hub(feed, Metrics()) as hub:
        await hub.opened()
        with hub.subscription(EventFilter()) as a, hub.subscription(EventFilter()) as b:
            hub.publish(event(1))
            [first], [second] = await a.next(1), await b.next(1)
            assert first.shared is second.shared


async def test_the_ring_is_filled_with_the_past_which_is_told_to_nobody() -> None:
    feed = MemoryFeed()
    await feed.publish(event(0))
    last_seen = await feed.token_now()
    await feed.publish(event(1))
    async with Hub(feed, Metrics()) as hub:
        await hub.opened()
        assert numbers(hub, last_seen) == [1]
        with hub.subscription(EventFilter()) as fresh:
            assert fresh.token == await feed.token_now()
            await feed.publish(event(2))
            assert [d.event.data["n"] for d in await fresh.next(1)] == [2]
        assert numbers(hub, last_seen) == [1, 2]


class LongPast(MemoryFeed):
    """A feed of which only so much of the past can be told in time. The hub has little patience with what is never
    told, and much with what is."""

    def __init__(self, longest: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._longest, self._patch = longest, monkeypatch
        self.asked: list[timedelta] = []
        self._next_is(SPANS[0])

    def _next_is(self, span: timedelta) -> None:
        self._patch.setattr("app.api.hub.REPLAY_SECONDS", 30.0 if span <= self._longest else 0.02)

    async def token_before(self, span: timedelta) -> str:
        self.asked.append(span)
        self._next_is([*SPANS, NOW, NOW][len(self.asked)])
        return await super().token_before(span)

    async def caught_up(self) -> None:
        if self.asked[-1] > self._longest:
            await asyncio.Event().wait()
        await super().caught_up()


@pytest.mark.parametrize(
    ("longest", "asked", "held"), [(SPANS[1], 2, [0, 1]), (timedelta(0), 3, [])], ids=["half a minute", "nothing"]
)
async def test_a_past_too_long_to_be_told_in_time_is_cut_short_never_torn(
    monkeypatch: pytest.MonkeyPatch, longest: timedelta, asked: int, held: list[int]
) -> None:
    feed = LongPast(longest, monkeypatch)
    origin = await feed.token_now()
    await feed.publish(event(0))
    await feed.publish(event(1))
    async with Hub(feed, Metrics()) as hub:
        await hub.opened()
        assert len(feed.asked) == asked
        assert numbers(hub, origin) == (held or None)
        await feed.publish(event(2))
        now = await feed.token_now()
        await until(lambda: numbers(hub, now) == [])


async def test_a_closed_hub_ends_those_who_come_late() -> None:
    async with Hub(MemoryFeed(), Metrics()) as hub:
        await hub.opened()
        hub.close()
        with hub.subscription(EventFilter()) as late:
            assert late.closed
            assert await late.next(10) == []
