"""What a crash has left of workflows, and moments that have come: approvals whose time is over, schedules.

A workflow is advanced by whoever commits the end of one of its jobs. When that process dies before the workflow knows,
or before a job that it asked for is made, the difference between the workflow and its jobs tells: the leader looks for
it, a page of open workflows each time, round and round. Only the leader does; two for a moment do no harm, since all of
it is done by guards and derived ids.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from app.domain.errors import NotFound, Unavailable
from app.domain.workflows.controls import overdue
from app.operations.workflows.advancing import change_workflow
from app.operations.workflows.scheduling import fire
from app.operations.workflows.wishes import admit, look_after
from app.scheduler.commit import Checkpoint, no_checkpoint
from app.scheduler.store_clock import store_now
from app.services import Services

log = structlog.get_logger()
PAGE = 200
BATCH = 100


class WorkflowKeeper:
    """Keeps between rounds only where the last page ended."""

    def __init__(self, services: Services, checkpoint: Checkpoint = no_checkpoint) -> None:
        self._services, self._checkpoint = services, checkpoint
        self._after: str | None = None

    async def run_once(self) -> None:
        """Look after a page of open workflows. Raises Unavailable."""
        ids = await self._services.workflows.open(PAGE, self._after)
        self._after = ids[-1] if len(ids) == PAGE else None
        for workflow_id in ids:
            await self._each(workflow_id, self._look_after)

    async def _look_after(self, workflow_id: str) -> None:
        if mended := await look_after(self._services, workflow_id):
            log.info("workflow.mended", workflow_id=workflow_id, jobs=mended)

    async def fire(self) -> None:
        """Take the defaults of approvals whose time is over, and run what schedules want. Raises Unavailable."""
        now = await store_now(self._services)
        for workflow_id in await self._services.workflows.approvals_due(now, BATCH):
            await self._each(workflow_id, self._expire)
        await fire(self._services, now)

    async def _expire(self, workflow_id: str) -> None:
        now = await store_now(self._services)
        _, made = await change_workflow(
            self._services, workflow_id, lambda loaded, _: overdue(loaded.workflow, loaded.pinned, now)
        )
        await admit(self._services, made)

    async def _each(self, workflow_id: str, do: Callable[[str], Awaitable[None]]) -> None:
        """One that fails keeps no other waiting."""
        try:
            await do(workflow_id)
        except (NotFound, Unavailable) as error:
            log.warning("workflow.not_kept", workflow_id=workflow_id, error=error.message)
        except Exception:
            log.exception("workflow.keeping_failed", workflow_id=workflow_id)
