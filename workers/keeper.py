"""Keeps the checkpoints of live runs, so that a worker that is killed loses the work of a minute and not of hours.

Each look finds what is new and stores it under the one name that the run's checkpoint has, at most once in
CHECKPOINT_SECONDS a run, and one run after the other. The next run asks the store for the newest checkpoint, so nothing
else need know of it. What could not be stored is tried again as late; at its end a run stores its last one itself.

What stands still because its run is frozen has not come to rest: it may be half written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from app.domain.errors import TensorFleetError
from app.lifecycle import Loop
from app.services import Services
from app.storage.files import to_its_end
from workers.checkpoints import Found, Sight, find, look, pack_live
from workers.collection import checkpoint_name, keep_checkpoint, keep_completed_steps, keep_files
from workers.home import NodeHome
from workers.live import LiveRun, LiveRuns
from workers.preparation import RESUME_COMPLETED

log = structlog.get_logger()
LOOK_SECONDS = 2.0


class Keeper(Loop):
    """Looks at the checkpoints of all runs that have a folder. `lease_frozen`: whether the guard has stopped all."""

    def __init__(self, services: Services, home: NodeHome, runs: LiveRuns, lease_frozen: Callable[[], bool]) -> None:
        super().__init__("keeper")
        self._services = services
        self._home = home
        self._runs = runs
        self._lease_frozen = lease_frozen
        self._every = services.settings.node.checkpoint_every.total_seconds()
        self._storing = asyncio.Lock()

    async def run(self) -> None:
        while await self.pause(LOOK_SECONDS):
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> None:
        """Begin to store what is new; `now` on the loop's clock. A run whose last look is under way is left out."""
        for run in self._runs:
            if run.stop_reason or run.ending or run.kept.busy:
                continue
            if self._home.run_folder(run.key).exists():
                run.kept.task = asyncio.create_task(self._keep(run, now), name=f"keep {run.key}")

    async def _keep(self, run: LiveRun, now: float) -> None:
        try:
            await self._keep_steps(run)
            await self._keep_checkpoint(run, now)
        except (TensorFleetError, OSError) as error:
            log.warning("checkpoint.postponed", job_id=run.key.job_id, run_no=run.key.run_no, why=str(error))
        except Exception:
            log.exception("checkpoint.not_kept", job_id=run.key.job_id, run_no=run.key.run_no)

    async def _keep_steps(self, run: LiveRun) -> None:
        """The files of a step come before the word that it need not run again."""
        steps = len(run.record.outputs)
        if run.job.resume == RESUME_COMPLETED and steps > run.kept.steps:
            folder = self._home.run_folder(run.key)
            async with self._storing:
                await keep_files(self._services, run.job, run.record, folder, _unsaid)
                await keep_completed_steps(self._services, run.job, run.record, folder)
            run.kept.steps = steps

    async def _keep_checkpoint(self, run: LiveRun, now: float) -> None:
        folder, kept = self._home.run_folder(run.key), run.kept
        found = await to_its_end(lambda: find(run.job, run.record, folder))
        if found is None:
            return
        seen: Sight = await to_its_end(lambda: look(found.path))
        if run.frozen_since is not None or self._lease_frozen():
            kept.seen = ()
            return
        changing, kept.seen = found.growing and seen != kept.seen, seen
        if not changing and seen != kept.stored and now - kept.stored_at >= self._every:
            async with self._storing:
                await self._store(run, found, now)

    async def _store(self, run: LiveRun, found: Found, now: float) -> None:
        """Packed beside the archive that the run's end makes."""
        folder = self._home.run_folder(run.key)
        archive = folder / f".live-{checkpoint_name(run.job)}"
        packed = await to_its_end(lambda: pack_live(found, folder, archive))
        if packed is not None:
            run.kept.stored_at = now
            await keep_checkpoint(self._services, run.job, archive)
            run.kept.stored = packed


def _unsaid(_: str) -> None:
    """What cannot be kept is told at the run's end."""
