"""The snapshot of a moment, read from the stores: nodes, and what outlives a cycle (the overdue, live runs, the
scheduler's state, the queue's pause)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.domain.priority import micros
from app.domain.records import BucketHead, Waiting
from app.domain.scheduler_state import QueuePause, SchedulerState
from app.scheduler.live_runs import LiveRuns
from app.scheduler.rules import Rules
from app.scheduler.snapshot import Snapshot, take_snapshot
from app.scheduler.store_clock import store_now
from app.services import Services

PAUSE_MAX_AGE = 0.25


async def queue_pause(services: Services) -> QueuePause | None:
    """Whether people have stopped the queue, as of at most a quarter of a second ago."""
    return await services.recent.get("queue_pause", services.scheduler.pause, PAUSE_MAX_AGE)


async def look(
    services: Services, heads: Sequence[BucketHead], rules: Rules, state: SchedulerState, live_runs: LiveRuns
) -> tuple[Snapshot, QueuePause | None]:
    """The snapshot around these heads, and who paused the queue. What does not ask for another is read at once. Raises
    Unavailable."""
    moment = await store_now(services)
    now = micros(moment)
    nodes, lane, promised, pause = await asyncio.gather(
        services.nodes.all(), services.queue.lane(now), _promised(services, state), queue_pause(services)
    )
    snapshot = take_snapshot(nodes, heads, rules, moment, now)
    carried = replace(
        snapshot,
        lane=tuple(lane),
        live=await live_runs.of(snapshot.nodes, now),
        promises=state.promises,
        promised=promised,
        credit=state.credit,
        history={tenant: usage.held for tenant, usage in state.usage.items()},
        paused=pause is not None,
        preempted=state.preempted,
    )
    return carried, pause


async def _promised(services: Services, state: SchedulerState) -> Mapping[str, Waiting]:
    """The promises' jobs that still wait."""
    return await services.queue.find([p.job_id for p in state.promises]) if state.promises else {}
