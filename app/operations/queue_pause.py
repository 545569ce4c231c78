"""Stop the queue, and let it go on: nothing is placed meanwhile, and what runs goes on."""

from __future__ import annotations

import structlog

from app.domain.ports import ROOM_BELL
from app.domain.scheduler_state import QueuePause
from app.services import Services

log = structlog.get_logger()
PAUSE = "queue_pause"
"""Under what the scheduler of this process remembers it for a moment."""


async def pause_queue(services: Services, actor: str, reason: str | None) -> QueuePause:
    """The pause that stands: of two the first is kept. Placements that are on their way may still happen, for a
    quarter of a second."""
    wanted = QueuePause(actor, reason, services.clock.now())
    kept = await services.scheduler.set_pause(wanted) or wanted
    services.recent.forget(PAUSE)
    if kept == wanted:
        log.info("queue.paused", actor=actor, reason=reason)
    await services.bells.ring(ROOM_BELL)
    return kept


async def resume_queue(services: Services, actor: str, reason: str | None) -> None:
    """The queue goes on; one that was not stopped stays as it is."""
    if await services.scheduler.pause() is not None:
        await services.scheduler.set_pause(None)
        services.recent.forget(PAUSE)
        log.info("queue.resumed", actor=actor, reason=reason)
    await services.bells.ring(ROOM_BELL)
