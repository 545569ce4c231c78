"""The stream of everything."""

from typing import Annotated

from fastapi import Query, Response

from app.api.deps import LastEventId, State, TimeoutSeconds
from app.api.problems import STREAM, problems
from app.api.routing import PREFIX, api_router
from app.api.sse import EventStream, all_events
from app.domain.errors import FieldError, Invalid
from app.domain.events import EVENT_TYPES, EventFilter
from app.domain.nearest import unknown_name
from app.domain.states import JobStatus

router = api_router(f"{PREFIX}/events", "events")
EventTypes = Annotated[list[str] | None, Query(description="Only these event types; repeat it for several.")]
_Id = Query(max_length=64)


def check_types(types: list[str] | None) -> frozenset[str]:
    """The types asked for; `job.state,log.line` counts as two. Raises Invalid with the nearest known type."""
    wanted = frozenset(name for given in types or () for name in given.split(",") if name)
    if unknown := sorted(wanted.difference(EVENT_TYPES)):
        raise Invalid(FieldError("types", *unknown_name("event type", name, EVENT_TYPES)) for name in unknown)
    return wanted


@router.get(
    "",
    status_code=200,
    responses={**STREAM, **problems()},
    response_class=EventStream,
)
async def stream_events(
    state: State,
    last_event_id: LastEventId,
    types: EventTypes = None,
    status: Annotated[list[JobStatus] | None, Query(description="Only transitions to these states.")] = None,
    job_id: Annotated[str | None, _Id] = None,
    workflow_id: Annotated[str | None, _Id] = None,
    batch_id: Annotated[str | None, _Id] = None,
    tag: Annotated[str | None, Query(max_length=200)] = None,
    timeout_seconds: TimeoutSeconds = None,
) -> Response:
    """Everything that happens, as it becomes durable, filtered by all criteria given.

    It opens with `stream.open`, whose `id` is the present place. The `id` of each event is opaque; send the last one as
    `Last-Event-ID` and the stream goes on after it, on any API process. When the events between are no longer held, or
    the client was too slow, one `resync` says so: read again what you show, then go on. Try it with `curl -N`; Swagger
    UI shows nothing until the stream ends, so give it `timeout_seconds=10`. A comment comes every 15 s.
    """
    wanted = EventFilter(check_types(types), frozenset(status or ()), job_id, workflow_id, batch_id, tag)
    await state.hub.opened()
    return EventStream(all_events(state.hub, wanted, last_event_id, timeout_seconds))
