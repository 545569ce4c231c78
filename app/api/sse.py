"""Event streams over `text/event-stream`: the general one and those of one job.

A stream subscribes first and reads the store after, so nothing falls between; what both have is recognised by its
number. A stream of one job is exact: when the hub tells of a gap the history fills it. It ends by itself after the
terminal event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import structlog
from starlette.responses import StreamingResponse

from app.api.history_views import job_entry_view
from app.api.hub import Delivery, Hub, Subscription, resync
from app.api.state import ApiState
from app.api.views import log_line_view
from app.domain.errors import Unavailable
from app.domain.events import Event, EventFilter
from app.domain.job import Job
from app.domain.states import TERMINAL

log = structlog.get_logger()
HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b": beat\n\n"
LOG_BATCH = 1_000
_TERMINAL = frozenset(status.value for status in TERMINAL)


class EventStream(StreamingResponse):
    """A response of frames that no proxy may hold back."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncIterator[bytes]) -> None:
        super().__init__(_until_unavailable(frames), headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})


async def _until_unavailable(frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The frames; when a store goes away under a stream it ends, and the client resumes where it was."""
    try:
        async for frame in frames:
            yield frame
    except Unavailable as error:
        log.warning("stream.ended", store=error.store)


async def live(subscription: Subscription, timeout_seconds: float | None) -> AsyncIterator[list[Delivery]]:
    """What comes in, in batches; an empty one when it is time for a heartbeat. Ends at the timeout and with the hub."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_seconds if timeout_seconds is not None else None
    while not subscription.closed:
        left = HEARTBEAT_SECONDS if end is None else min(HEARTBEAT_SECONDS, end - loop.time())
        if left <= 0:
            return
        yield await subscription.next(left)


async def all_events(
    hub: Hub, wanted: EventFilter, last_event_id: str | None, timeout_seconds: float | None
) -> AsyncIterator[bytes]:
    """The general stream: opens with a place to resume from, or goes on after `last_event_id`, or says `resync`."""
    usable = last_event_id is not None and await hub.knows(last_event_id)
    with hub.subscription(wanted) as subscription:
        if last_event_id is None:
            yield b"event: stream.open\nid: %s\ndata: {}\n\n" % subscription.token.encode()
        else:
            yield resumed(hub, wanted, subscription.token, last_event_id if usable else None)
        async for batch in live(subscription, timeout_seconds):
            yield b"".join(d.shared for d in batch) or HEARTBEAT


def resumed(hub: Hub, wanted: EventFilter, token: str, last_event_id: str | None) -> bytes:
    """What was missed after `last_event_id`; a `resync` where it is None or not held any more."""
    missed = None if last_event_id is None else hub.after(last_event_id)
    if missed is None:
        return resync("the events after Last-Event-ID are not held any more", token).shared
    return b"".join(d.shared for d in missed if wanted.wants(d.event)) or HEARTBEAT


def state_event(job: Job, number: int) -> Delivery:
    """The `job.state` of the history entry with this `seq`."""
    entry = job_entry_view(job.history[number - 1])
    return Delivery(Event("job.state", {"type": "job.state", "job_id": job.id, "name": job.name, **entry}))


class JobFollower:
    """Keeps a stream of one job exact: which entries were sent, and what to do with what comes in."""

    def __init__(self, state: ApiState, job_id: str, types: frozenset[str]) -> None:
        self._jobs = state.services.jobs
        self._job_id = job_id
        self._types = types
        self.seq = 0
        self.ended = False

    async def open(self, last_seq: int | None) -> bytes:
        """The entries after `last_seq`, or the present state when there is none to go on from."""
        job = await self._jobs.get(self._job_id)
        if job is None:
            self.ended = True
            return b""
        self.seq = last_seq if last_seq is not None and last_seq <= job.seq else job.seq - 1
        return self._catch_up(job)

    async def take(self, batch: list[Delivery]) -> bytes:
        """The frames for what came in, gaps filled from the history."""
        out = []
        for delivery in batch:
            event = delivery.event
            number = event.data.get("seq", 0) if event.type == "job.state" else 0
            if event.type == "resync" or number > self.seq + 1:
                job = await self._jobs.get(self._job_id)
                out.append(self._catch_up(job) if job is not None else b"")
            elif event.type == "job.state":
                if number > self.seq:
                    self.seq, self.ended = number, event.data["to"] in _TERMINAL
                    out.append(self._wanted(delivery))
            else:
                out.append(self._wanted(delivery))
        return b"".join(out)

    def _catch_up(self, job: Job) -> bytes:
        frames = [self._wanted(state_event(job, n)) for n in range(self.seq + 1, job.seq + 1)]
        self.seq, self.ended = max(self.seq, job.seq), job.terminal
        return b"".join(frames)

    def _wanted(self, delivery: Delivery) -> bytes:
        return delivery.own if not self._types or delivery.event.type in self._types else b""


class Follower(Protocol):
    """What keeps the stream of one thing exact. `ended`: nothing more will come."""

    ended: bool

    async def take(self, batch: list[Delivery]) -> bytes:
        """The frames for what came in, none for what is of no use."""


async def followed(
    subscription: Subscription, follower: Follower, timeout_seconds: float | None
) -> AsyncIterator[bytes]:
    """What the follower makes of what comes in, with heartbeats in silence, until it has ended."""
    if follower.ended:
        return
    async for batch in live(subscription, timeout_seconds):
        frames = await follower.take(batch)
        if frames or not batch:
            yield frames or HEARTBEAT
        if follower.ended:
            return


async def job_events(
    state: ApiState, job_id: str, last_seq: int | None, types: frozenset[str], timeout_seconds: float | None
) -> AsyncIterator[bytes]:
    """The stream of one job, until its terminal event."""
    follower = JobFollower(state, job_id, types)
    with state.hub.subscription(EventFilter(job_id=job_id)) as subscription:
        yield await follower.open(last_seq) or HEARTBEAT
        async for frames in followed(subscription, follower, timeout_seconds):
            yield frames


class LogFollower:
    """Keeps a stream of log lines exact, over all runs from one on: of each run the number of the line sent last.

    A line that follows the one before is sent as it comes. Whatever does not (lines were missed, or are not kept any
    more) is settled by what is stored, which also says the gaps.
    """

    def __init__(
        self, state: ApiState, job_id: str, run_no: int, after: int, wanted: Callable[[str | None], bool]
    ) -> None:
        self._services = state.services
        self._job_id = job_id
        self._first_run = run_no
        self._sent = {run_no: after}
        self._wanted = wanted
        self.ended = False

    async def open(self) -> bytes:
        """What is stored already; ended when the job is."""
        job = await self._services.jobs.get(self._job_id)
        self.ended = job is None or job.terminal
        newest = self._first_run if job is None else job.run_no
        return b"".join([await self._stored(run_no) for run_no in range(self._first_run, newest + 1)])

    async def take(self, batch: list[Delivery]) -> bytes:
        """The frames for what came in. A gap and the end of the job are settled by what is stored."""
        out = []
        for delivery in batch:
            data = delivery.event.data
            if delivery.event.type == "log.line":
                out.append(await self._next(delivery, data["run_no"], data["n"]))
            elif delivery.event.type == "resync":
                out.append(await self.open())
            elif data.get("to") in _TERMINAL:
                out.append(await self.open())
                self.ended = True
        return b"".join(out)

    async def _next(self, delivery: Delivery, run_no: int, n: int) -> bytes:
        sent = self._sent.get(run_no, 0)
        if run_no < self._first_run or n <= sent:
            return b""
        return self._send(delivery, run_no, n) if n == sent + 1 else await self._stored(run_no)

    def _send(self, delivery: Delivery, run_no: int, n: int) -> bytes:
        self._sent[run_no] = n
        return delivery.own if self._wanted(delivery.event.data["step"]) else b""

    async def _stored(self, run_no: int) -> bytes:
        out = []
        after = self._sent.get(run_no, 0)
        while lines := await self._services.logs.read(self._job_id, run_no, after=after, limit=LOG_BATCH):
            for line in lines:
                data = {"type": "log.line", "job_id": self._job_id, "run_no": run_no, **log_line_view(line)}
                out.append(self._send(Delivery(Event("log.line", data)), run_no, line.n))
            after = lines[-1].n
        return b"".join(out)


async def job_log_lines(
    state: ApiState, follower: LogFollower, job_id: str, timeout_seconds: float | None
) -> AsyncIterator[bytes]:
    """The log of a job as it grows, until the job is terminal."""
    wanted = EventFilter(types=frozenset({"log.line", "job.state"}), job_id=job_id)
    with state.hub.subscription(wanted) as subscription:
        yield await follower.open() or HEARTBEAT
        async for frames in followed(subscription, follower, timeout_seconds):
            yield frames
