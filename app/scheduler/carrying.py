"""A snapshot with what outlives a cycle: the overdue, the live runs, the scheduler's state, and the queue's pause."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from app.domain.scheduler_state import QueuePause, SchedulerState
from app.scheduler.live_runs import LiveRuns
from app.scheduler.snapshot import Snapshot
from app.services import Services

PAUSE_MAX_AGE = 0.25


async def queue_pause(services: Services) -> QueuePause | None:
    """Whether people have stopped the queue, as of at most a quarter of a second ago."""
    return await services.recent.get("queue_pause", services.scheduler.pause, PAUSE_MAX_AGE)


async def carrying(
    services: Services, snapshot: Snapshot, state: SchedulerState, live_runs: LiveRuns
) -> tuple[Snapshot, QueuePause | None]:
    """The snapshot with them, and who paused the queue. Raises Unavailable."""
    queue, now = services.queue, snapshot.now
    lane, live, pause = await asyncio.gather(queue.lane(now), live_runs.of(snapshot.nodes, now), queue_pause(services))
    promised = await queue.find([p.job_id for p in state.promises]) if state.promises else {}
    carried = replace(
        snapshot,
        lane=tuple(lane),
        live=live,
        promises=state.promises,
        promised=promised,
        credit=state.credit,
        history={tenant: usage.held for tenant, usage in state.usage.items()},
        paused=pause is not None,
        preempted=state.preempted,
    )
    return carried, pause
