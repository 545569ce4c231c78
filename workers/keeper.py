"""Keeps the checkpoints of live runs, so that a worker that is killed loses the work of some seconds and not of hours.

Each look finds what is new and stores it under the one name that the run's checkpoint has, at most once in
`KEEP_SECONDS` a run. The next run asks the store for the newest checkpoint, so nothing else need know of it. What could
not be stored is tried with the next look; at its end a run stores its last one itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from app.domain.errors import TensorFleetError
from app.lifecycle import Loop
from app.services import Services
from workers.checkpoints import Sight, find, look, pack_live
from workers.collection import checkpoint_name, keep_checkpoint, keep_completed_steps
from workers.home import NodeHome
from workers.live import LiveRun, LiveRuns

log = structlog.get_logger()
LOOK_SECONDS = 2.0
KEEP_SECONDS = 10.0
T = TypeVar("T")


class Keeper(Loop):
    """Looks at the checkpoints of all runs that have a folder."""

    def __init__(self, services: Services, home: NodeHome, runs: LiveRuns) -> None:
        super().__init__("keeper")
        self._services = services
        self._home = home
        self._runs = runs

    async def run(self) -> None:
        while await self.pause(LOOK_SECONDS):
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> None:
        """Begin to store what is new; `now` on the loop's clock. A run whose last look is under way is left out."""
        for run in self._runs:
            if not run.ending and not run.kept.busy and self._home.run_folder(run.key).exists():
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
        steps = len(run.record.outputs)
        if steps > run.kept.steps:
            await keep_completed_steps(self._services, run.job, run.record, self._home.run_folder(run.key))
            run.kept.steps = steps

    async def _keep_checkpoint(self, run: LiveRun, now: float) -> None:
        folder, kept = self._home.run_folder(run.key), run.kept
        found = await to_its_end(lambda: find(run.job, run.record, folder))
        if found is None:
            return
        seen: Sight = await to_its_end(lambda: look(found.path))
        changing, kept.seen = found.growing and seen != kept.seen, seen
        if changing or seen == kept.stored or now - kept.stored_at < KEEP_SECONDS:
            return
        archive = _new_archive(folder, checkpoint_name(run.job))
        packed = await to_its_end(lambda: pack_live(found, folder, archive))
        if packed is not None:
            await keep_checkpoint(self._services, run.job, archive)
            kept.stored, kept.stored_at = packed, now


def _new_archive(folder: Path, name: str) -> Path:
    """Beside the one that the run's end makes."""
    return folder / f".live-{name}"


async def to_its_end(work: Callable[[], T]) -> T:
    """In a thread. Cancelling waits for it: nothing may go on in a folder that is about to be removed."""
    future = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
