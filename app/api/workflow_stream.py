"""The event stream of one workflow: its states and steps, and the events of its jobs.

Its ids are tokens, as on the stream of everything. It subscribes first and reads the workflow after, so that nothing
falls between; it ends with the workflow.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.api.hub import Delivery
from app.api.sse import HEARTBEAT, live, resumed
from app.api.state import ApiState
from app.domain.events import Event, EventFilter
from app.domain.timestamps import rfc3339
from app.domain.workflows.state import OVER, Workflow

LATE = 3.0
"""Seconds in which the last events of a workflow that is over arrive."""
_OVER = frozenset(status.value for status in OVER)


def present_state(workflow: Workflow, token: str) -> Delivery:
    """The state of now as an event, with the place that it holds at."""
    newest = workflow.history[-1]
    data = {
        "type": "workflow.state",
        "id": workflow.id,
        "status": workflow.status,
        "counts": dict(workflow.counts),
        "at": rfc3339(newest.at),
        "name": workflow.name,
        "seq": workflow.seq,
        "reason": newest.reason,
        "actor": newest.actor,
        "detail": newest.detail,
    }
    return Delivery(Event("workflow.state", data, token))


async def workflow_events(
    state: ApiState, workflow_id: str, last_event_id: str | None, types: frozenset[str], timeout_seconds: float | None
) -> AsyncIterator[bytes]:
    """The stream of one workflow."""
    wanted = EventFilter(types=types, workflow_id=workflow_id)
    ends = EventFilter(workflow_id=workflow_id)
    usable = last_event_id is not None and await state.hub.knows(last_event_id)
    with state.hub.subscription(ends) as subscription:
        missed = resumed(state.hub, wanted, subscription.token, last_event_id if usable else None)
        workflow = await state.services.workflows.get(workflow_id)
        if workflow is None:
            return
        yield _opening(workflow, wanted, subscription.token) if last_event_id is None else missed
        if workflow.over and last_event_id is None:
            return
        if workflow.over:  # what is still to come, if anything, is on its way
            timeout_seconds = min(timeout_seconds or LATE, LATE)
        async for batch in live(subscription, timeout_seconds):
            yield b"".join(d.shared for d in batch if wanted.wants(d.event)) or HEARTBEAT
            if any(_is_end(delivery.event) for delivery in batch):
                return


def _opening(workflow: Workflow, wanted: EventFilter, token: str) -> bytes:
    """The present state."""
    opening = present_state(workflow, token)
    return opening.shared if wanted.wants(_with_subject(opening.event, workflow.id)) else HEARTBEAT


def _with_subject(event: Event, workflow_id: str) -> Event:
    return Event(event.type, event.data, event.token, {"workflow_id": workflow_id})


def _is_end(event: Event) -> bool:
    """The last event of the write that ended it: only that one has a token."""
    return event.type == "workflow.state" and event.data.get("status") in _OVER and event.token is not None
