"""Keeps batches in agreement with their jobs: what is wanted of them is carried out, what has ended is settled, what
may go in is let in, whatever a crash left; and tells how far each has come.

Wishes are looked at every second, and left alone while the request that wrote them carries them out itself. All else is
found by the reconciler, from the counts of all open batches.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from app.domain.batches import Batch, BatchStatus, Counts
from app.domain.errors import Unavailable
from app.domain.job import Control
from app.domain.records import JobQuery
from app.domain.states import JobStatus
from app.domain.transitions import SYSTEM
from app.operations.batches.controlling import PATIENCE
from app.operations.batches.following import FAILED, fail_fast, settle, wanted_of
from app.operations.batches.wishes import WAITS, admit, carry_out_wish
from app.operations.change import commit_all
from app.services import Services

log = structlog.get_logger()
EVERY = 1.0
"""Seconds between two looks at wishes."""
OWN = timedelta(seconds=PATIENCE + 1)
"""For so long a wish belongs to the request that wrote it; one that a rule wrote is everybody's."""
LEFT = timedelta(seconds=20)
"""For so long a batch belongs to the request that makes it, its store's patience included."""
AT_ONCE = 50
"""Batches that are looked at together."""
TURN = 5.0
"""Seconds that the wish of one batch may take before the next has its turn."""
AGAIN = 10.0
"""Seconds after which the jobs of a batch that is being ended are looked at again."""
STRAGGLERS = 500


class BatchKeeper:
    """Keeps between its looks only which wishes were carried out on every job, and when: those that end a batch stand
    until its last run is gone."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._done: dict[tuple[str, datetime], float] = {}

    async def carry_out(self) -> None:
        """The wishes that nobody carries out any more, and the batches that nobody lays out any more."""
        now = self._services.clock.now()
        if left := await self._services.batches.finish_left(now - LEFT, AT_ONCE):
            log.warning("batches.laid_out", batches=left)
        wishing = [(b, b.control) for b in await self._services.batches.wishing(now, AT_ONCE) if b.control is not None]
        self._done = {key: self._done[key] for b, control in wishing if (key := (b.id, control.at)) in self._done}
        for batch, control in wishing:
            if control.actor == SYSTEM or control.at < now - OWN:
                await self._alone(batch, partial(self._carry_out, control=control))

    async def _carry_out(self, batch: Batch, control: Control) -> None:
        key, now = (batch.id, control.at), time.monotonic()
        if now - self._done.get(key, -AGAIN) >= AGAIN and await carry_out_wish(self._services, batch, TURN):
            self._done[key] = now

    async def keep(self) -> None:
        """Look at every open batch."""
        after: str | None = None
        while batches := await self._services.batches.open(AT_ONCE, after):
            counts = await self._services.batches.counts([batch.id for batch in batches])
            for batch in batches:
                await self._alone(batch, partial(self._keep, counts=counts[batch.id]))
            after = batches[-1].id

    async def _alone(self, batch: Batch, do: Callable[[Batch], Awaitable[object]]) -> None:
        """One batch that cannot be kept does not keep the others from it. Raises Unavailable."""
        try:
            await do(batch)
        except Unavailable:
            raise
        except Exception:
            log.exception("batch.not_kept", batch_id=batch.id)

    async def _keep(self, batch: Batch, counts: Counts) -> None:
        if batch.control is not None:
            return
        if batch.fail_fast and counts.failed and await self._stop(batch):
            return
        if batch.status is BatchStatus.PAUSED and counts.of(*WAITS):
            await self._hold_stragglers(batch)
        if batch.status is BatchStatus.RUNNING and batch.width is not None and counts.of(JobStatus.SUBMITTED):
            await admit(self._services, batch)
        if not counts.open:
            await settle(self._services, batch, counts)
        elif counts != batch.counts:
            await self._services.batches.record_counts(batch, counts, self._services.clock.now())

    async def _stop(self, batch: Batch) -> bool:
        """A failure that nobody acted upon."""
        page = await self._services.jobs.find(JobQuery(batch_id=batch.id, status=FAILED, limit=1))
        stopped = await fail_fast(self._services, batch, page.jobs[0]) if page.jobs else None
        return stopped is not None and await carry_out_wish(self._services, stopped, TURN)

    async def _hold_stragglers(self, batch: Batch) -> None:
        """What came back to wait while nobody looked."""
        page = await self._services.jobs.find(JobQuery(batch_id=batch.id, status=WAITS, limit=STRAGGLERS))
        await commit_all(self._services, wanted_of(self._services, batch, page.jobs))
