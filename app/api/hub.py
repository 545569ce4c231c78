"""The hub: one change feed a process, fanned out in memory to every subscriber.

Invariants: an event is encoded once, however many listen. A subscriber's queue is bounded; one that is too slow loses
its queue and is told so by a `resync` in its place, and never slows the others. A subscription's `token` is that of the
last event published before it, so what follows the token is exactly what the subscription brings. The ring keeps the
last events for those who come back; at the start it is filled with those of the last minutes, which are told to nobody,
so that a client may come back to another process, or to this one after a restart.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from functools import cached_property

import structlog

from app.api.answers import as_json
from app.domain.errors import Unavailable
from app.domain.events import Event, EventFilter
from app.domain.ports import ChangeFeed
from app.lifecycle import Loop
from app.metrics import Metrics

log = structlog.get_logger()
RING = 10_000
QUEUE = 1_000
OPENING_PATIENCE = 5.0
FIRST_RETRY, LAST_RETRY = 0.2, 5.0
SPANS = (timedelta(minutes=5), timedelta(seconds=30))
"""How much of the past fills the ring at the start; the next one where there is too much of it to be told in time."""
NOW = timedelta(0)
REPLAY_SECONDS = 2.0
"""Streams open after it, and each span may take as long: less in sum than `OPENING_PATIENCE`."""
LOOKS, LOOK_SECONDS = 250, 0.02
"""How often is looked whether a place is reached that another process told: for as long as an opening may take."""


class Delivery:
    """An event on its way, with its bytes. On a job's own stream the id is `seq`, on all others the token."""

    def __init__(self, event: Event) -> None:
        self.event = event

    @cached_property
    def _body(self) -> bytes:
        return b"event: %s\ndata: %s\n" % (self.event.type.encode(), as_json(dict(self.event.data)))

    @cached_property
    def shared(self) -> bytes:
        """The frame with the token as its id."""
        token = self.event.token
        return self._body + (b"\n" if token is None else b"id: %s\n\n" % token.encode())

    @cached_property
    def own(self) -> bytes:
        """The frame of a per-object stream: `seq` as the id of a `job.state`, no id on anything else."""
        return self._body + (b"id: %d\n\n" % self.event.data["seq"] if self.event.type == "job.state" else b"\n")


class Subscription:
    """A bounded queue of what one subscriber wants. `closed` when the hub ends."""

    def __init__(self, wanted: EventFilter, token: str, metrics: Metrics, size: int = QUEUE) -> None:
        self.wanted = wanted
        self.token = token
        self.closed = False
        self._metrics = metrics
        self._size = size
        self._queue: deque[Delivery] = deque()
        self._wake = asyncio.Event()

    def offer(self, delivery: Delivery) -> None:
        """Queue it if it is wanted; a full queue is replaced by one `resync`, which carries the place to go on from."""
        if not self.wanted.wants(delivery.event):
            return
        if len(self._queue) >= self._size:
            self._queue.clear()
            self._metrics.stream_resyncs.labels("slow").inc()
            delivery = resync("the subscriber was too slow", delivery.event.token)
        self._queue.append(delivery)
        self._wake.set()

    def close(self) -> None:
        self.closed = True
        self._wake.set()

    async def next(self, timeout: float) -> list[Delivery]:
        """All that is queued, at once; empty after `timeout` seconds without any, or when the hub ends."""
        if not self._queue and not self.closed:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), timeout)
            except TimeoutError:
                return []
        out = list(self._queue)
        self._queue.clear()
        return out


def resync(reason: str, token: str | None) -> Delivery:
    """Tells a subscriber that events were missed: read again what you show, then go on."""
    return Delivery(Event("resync", {"type": "resync", "reason": reason}, token))


class Hub(Loop):
    """Reads the feed and publishes. `close` ends all streams at once, so that a server may shut down."""

    def __init__(self, feed: ChangeFeed, metrics: Metrics, *, ring: int = RING) -> None:
        super().__init__("hub")
        self._feed = feed
        self._metrics = metrics
        self._ring: deque[Delivery] = deque(maxlen=ring)
        self._origin: str | None = None
        self._token: str | None = None
        self._opened = asyncio.Event()
        self._by_job: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._general: set[Subscription] = set()
        self._closed = False
        self.on_event: Callable[[Event], None] = lambda _: None
        """Told of every event that is new, whether or not anybody listens."""

    @property
    def mode(self) -> str:
        """How the feed learns of changes: `watch` or `poll`."""
        return self._feed.mode

    async def run(self) -> None:
        for span in SPANS:
            await self._follow(span, REPLAY_SECONDS)
        await self._follow(NOW, None)

    async def _follow(self, span: timedelta, patience: float | None) -> None:
        """Publish all from so long ago on. Returns only when the past could not be told within `patience` seconds:
        a shorter past is to be told then, since a ring with a gap is worth nothing."""
        self._ring.clear()
        self._origin = self._token = await self._first_token(span)
        try:
            async with asyncio.timeout(patience) as limit, aclosing(self._feed.events(after=self._token)) as events:
                ready = asyncio.create_task(self._open_when_caught_up(limit), name="hub.opening")
                try:
                    async for event in events:
                        self.publish(event)
                finally:
                    ready.cancel()
        except TimeoutError:
            if not limit.expired():
                raise
            log.warning("hub.past_given_up", seconds=span.total_seconds(), events=len(self._ring))

    async def _open_when_caught_up(self, limit: asyncio.Timeout) -> None:
        """What comes from here on is new. The token of the present stands for the past that was told."""
        await self._feed.caught_up()
        limit.reschedule(None)
        self._token = max(self._token or "", await self._feed.token_now())
        self._opened.set()

    async def _first_token(self, span: timedelta) -> str:
        delay = FIRST_RETRY
        while True:
            try:
                return await self._feed.token_before(span)
            except Unavailable as error:
                log.warning("hub.feed_unavailable", store=error.store, retry_seconds=delay)
                await self.pause(delay)
                delay = min(2 * delay, LAST_RETRY)

    def publish(self, event: Event) -> None:
        """Hand one event to all who want it, and keep it in the ring."""
        delivery = Delivery(event)
        if len(self._ring) == self._ring.maxlen:
            self._origin = self._ring[0].event.token
        self._ring.append(delivery)
        self._token = event.token or self._token
        job_id = event.subject.get("job_id")
        for subscription in self._by_job.get(job_id, ()) if isinstance(job_id, str) else ():
            subscription.offer(delivery)
        if self._opened.is_set():
            self.on_event(event)
        if event.type == "resync":
            self._metrics.stream_resyncs.labels("feed").inc()
            for subscription in [s for group in self._by_job.values() for s in group]:
                subscription.offer(delivery)
        for subscription in self._general:
            subscription.offer(delivery)

    @contextmanager
    def subscription(self, wanted: EventFilter) -> Iterator[Subscription]:
        """Listen from this moment on. `opened` must have returned before."""
        subscription = Subscription(wanted, self._token or "", self._metrics)
        group = self._general if wanted.job_id is None else self._by_job[wanted.job_id]
        group.add(subscription)
        self._metrics.stream_subscribers.inc()
        if self._closed:
            subscription.close()
        try:
            yield subscription
        finally:
            self._metrics.stream_subscribers.dec()
            group.discard(subscription)
            if wanted.job_id is not None and not group:
                self._by_job.pop(wanted.job_id, None)

    async def opened(self) -> None:
        """Returns when the feed is open. Raises Unavailable when it does not open in time."""
        try:
            await asyncio.wait_for(self._opened.wait(), OPENING_PATIENCE)
        except TimeoutError:
            raise Unavailable("The change feed") from None

    async def knows(self, token: str) -> bool:
        """Whether the text can be a place that was: of the right form, and not ahead of the store. Returns when this
        process has come there: another may have told it a moment earlier. Raises Unavailable."""
        if not await self._feed.valid_token(token):
            return False
        return await self._reached(token) or (
            token <= await self._feed.token_before(NOW) and await self._comes_to(token)
        )

    async def _reached(self, token: str) -> bool:
        return token <= (self._token or "") or token <= await self._feed.token_now()

    async def _comes_to(self, token: str) -> bool:
        for _ in range(LOOKS):
            await asyncio.sleep(LOOK_SECONDS)
            if self._closed or await self._reached(token):
                return not self._closed
        return False

    def after(self, token: str) -> list[Delivery] | None:
        """The events that follow a known `token`, oldest first; None when the ring does not reach back to it.

        Tokens of one kind (their first letter) sort as text, so one that another process gave is found as well, though
        no event here carries it.
        """
        if self._token is None or token[0] != self._token[0]:
            return None
        newer: deque[Delivery] = deque()
        for delivery in reversed(self._ring):
            if delivery.event.token is not None and delivery.event.token <= token:
                return list(newer)
            newer.appendleft(delivery)
        return list(newer) if self._origin is not None and self._origin <= token else None

    def close(self) -> None:
        """End every stream at once; those that open later end at once too. May be called from a signal handler."""
        self._closed = True
        for subscription in [*self._general, *(s for group in self._by_job.values() for s in group)]:
            subscription.close()

    async def _close(self) -> None:
        self.close()
        await super()._close()
