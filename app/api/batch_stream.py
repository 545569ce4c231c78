"""The event stream of one batch: its own changes and those of its jobs, until it has ended.

It is the general stream with a filter, and its ids are the same, so that a client goes on where it was, on any process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.api.hub import Delivery
from app.api.sse import HEARTBEAT, live, resumed
from app.api.state import ApiState
from app.domain.batches import ENDED, Batch, told
from app.domain.events import Event, EventFilter

_ENDED = frozenset(status.value for status in ENDED)


async def batch_events(
    state: ApiState, batch: Batch, last_event_id: str | None, types: frozenset[str], timeout_seconds: float | None
) -> AsyncIterator[bytes]:
    """It opens with the batch's present state, or goes on after `last_event_id`, or says `resync`."""
    hub, wanted = state.hub, EventFilter(types=types, batch_id=batch.id)
    usable = last_event_id is not None and await hub.knows(last_event_id)
    with hub.subscription(EventFilter(batch_id=batch.id)) as subscription:
        if last_event_id is None:
            present = await _present(state, batch, subscription.token)
            yield present.shared
            if _is_end(present):
                return
        else:
            yield resumed(hub, wanted, subscription.token, last_event_id if usable else None)
        async for deliveries in live(subscription, timeout_seconds):
            frames = b"".join(d.shared for d in deliveries if wanted.wants(d.event))
            if frames or not deliveries:
                yield frames or HEARTBEAT
            if any(_is_end(d) for d in deliveries):
                return


async def _present(state: ApiState, batch: Batch, token: str) -> Delivery:
    """Its state as it is now, under the place that everything after it follows."""
    now = await state.services.batches.get(batch.id) or batch
    counts = now.counts if now.ended else (await state.services.batches.counts([batch.id]))[batch.id]
    return Delivery(Event("batch.state", {"type": "batch.state", **told(now, counts)}, token))


def _is_end(delivery: Delivery) -> bool:
    return delivery.event.type == "batch.state" and delivery.event.data["status"] in _ENDED
