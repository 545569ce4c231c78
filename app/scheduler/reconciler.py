"""Make what is derived agree with what is true, every few seconds: index, ledger, dispatches, dependants, deadlines.

Every effect of a transition is a hint that a crash may swallow; each has its repair here, and each repair is a metric.
One repair that fails does not keep the others from being done. Only the leader reconciles.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog

from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.records import JobQuery
from app.domain.states import JobStatus
from app.metrics import Metrics
from app.operations.advance import decide_waiting
from app.operations.change import commit_all
from app.operations.dependencies import LEFT, make_announced
from app.operations.inheritance import decide_missed_lending
from app.scheduler.batch_keeper import BatchKeeper
from app.scheduler.index_keeper import IndexKeeper
from app.scheduler.ledger import Ledger, Patience
from app.scheduler.limit_keeper import LimitKeeper
from app.scheduler.timers import Timers
from app.services import Services

log = structlog.get_logger()
PAGE = 500
DEPENDENT = frozenset({JobStatus.SUBMITTED, JobStatus.PAUSED})
"""States in which a job may have parents that are open: one that is held still fails with its parent."""


class Reconciler:
    """One look at everything; keeps between looks only what is suspected, and where the last page ended."""

    def __init__(self, services: Services, metrics: Metrics) -> None:
        self._services = services
        self.index = IndexKeeper(services, metrics)
        self._ledger = Ledger(services, metrics, Patience.of(services.settings.scheduler.reconcile))
        self._timers = Timers(services)
        self._limits = LimitKeeper(services)
        self.batches = BatchKeeper(services)
        self._metrics = metrics
        self._after: str | None = None

    async def run_once(self) -> None:
        """Every repair once."""
        repairs: tuple[Callable[[], Awaitable[None]], ...] = (
            self.index.keep,
            self._ledger.ring_again,
            self._ledger.compare,
            self.promote_missed,
            self.make_announced,
            self._timers.give_up,
            self._limits.keep,
            self.batches.keep,
        )
        for repair in repairs:
            try:
                await repair()
            except Unavailable as error:
                log.warning("reconciler.store_away", repair=repair.__name__, store=error.store)
            except Exception:
                log.exception("reconciler.repair_failed", repair=repair.__name__)
                self._metrics.cycle_failures.labels("reconciler").inc()

    async def make_announced(self) -> None:
        """Dependencies that were announced by a process that died before it changed the job."""
        seen = await self._services.graph.state()
        await make_announced(self._services, seen, LEFT)

    async def promote_missed(self) -> None:
        """Jobs whose parents ended without their being told, and those that lend their class to parents that do not
        have it: a page of them each time, round and round.

        When the job at which the last page ended is gone, this round fails and the next begins at the start.
        """
        query = JobQuery(status=DEPENDENT, oldest_first=True, after=self._after, limit=PAGE)
        self._after = None
        page = await self._services.jobs.find(query)
        self._after = page.next_after
        results = await commit_all(self._services, await decide_waiting(self._services, page.jobs))
        moved = sum(job is not None for job in results)
        if moved:
            log.warning("reconciler.missed_promoted", jobs=moved)
        await self._lend_missed(page.jobs)

    async def _lend_missed(self, jobs: Sequence[Job]) -> None:
        results = await commit_all(self._services, await decide_missed_lending(self._services, jobs))
        lent = sum(job is not None for job in results)
        if lent:
            log.warning("reconciler.missed_lent", jobs=lent)
