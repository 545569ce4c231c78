"""Deletes what has been kept long enough, in the order of dependence; the leader does it, a little at a time.

A job goes with everything of its own, the job's document last: a crash between leaves a document that is found again.
A job stays as long as one that has not ended names it as a dependency, and as long as its batch or its workflow, which
counts it, retries it and reads what it has put out. What a crash left that nobody owns is found by walking through the
stored files and the sealed secrets, some each time. Logs, run summaries, ended batches and workflows, and idempotency
keys go by the store's own clock.

Every question is answered by an index, and with nothing to delete there are five of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from app.domain.ports import EndedJob
from app.domain.workflows.secrets import is_of_workflow, schedule_of
from app.services import Services

log = structlog.get_logger()
EVERY = 60.0
"""Seconds between two rounds."""
BATCH = 200
BATCHES = 25
"""Most batches in a round: other work of the leader waits meanwhile."""
FILES = 500
"""Stored files, and owners of files, that are looked at in a round."""
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
"""Secrets are sealed before what names them is stored, or changed to name them; after so long it never will."""


class Retention:
    """One round at a time; between rounds it keeps only where the walk through the files has come to."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._ended: EndedJob | None = None
        self._owner = ""
        self._sealed = ""

    async def run_once(self) -> None:
        """Delete what is due. Raises Unavailable; the next round finds what this one left."""
        now = self._services.clock.now()
        jobs = await self._ended_jobs(now - self._services.settings.retention.jobs)
        unfinished = await self._services.artifacts.delete_unfinished(now - DAY, FILES)
        ownerless = await self._ownerless()
        unnamed = await self._unnamed_secrets(now - HOUR)
        nodes = await self._services.nodes.forget_lost(now - DAY)
        done = {"jobs": jobs, "unfinished": unfinished, "ownerless": ownerless, "secrets": unnamed, "nodes": len(nodes)}
        if any(done.values()):
            log.info("retention.deleted", **done)

    async def _ended_jobs(self, before: datetime) -> int:
        """Batch after batch, past those that stay; where they are many, the next round goes on behind them."""
        deleted = 0
        for _ in range(BATCHES):
            ended = await self._services.jobs.ended_before(before, BATCH, self._ended)
            deleted += await self._delete(ended, before)
            self._ended = ended[-1] if len(ended) == BATCH else None
            if self._ended is None:
                break
        return deleted

    async def _delete(self, ended: Sequence[EndedJob], before: datetime) -> int:
        kept = await self._needed(ended, before) if ended else set()
        gone = [job.id for job in ended if job.id not in kept]
        if not gone:
            return 0
        await self._delete_things_of(gone)
        return await self._services.jobs.delete_ended(gone, before)

    async def _needed(self, ended: Sequence[EndedJob], before: datetime) -> set[str]:
        """Those that somebody waits for, and those of a batch or a workflow that stays."""
        needed = await self._services.jobs.depended_on([job.id for job in ended])
        batches = {job.batch_id for job in ended if job.batch_id is not None}
        workflows = {job.workflow_id for job in ended if job.workflow_id is not None}
        wholes = await self._services.batches.kept(batches, before) if batches else set()
        wholes |= await self._services.workflows.kept(workflows, before) if workflows else set()
        return needed | {job.id for job in ended if job.batch_id in wholes or job.workflow_id in wholes}

    async def _delete_things_of(self, job_ids: Sequence[str]) -> None:
        services = self._services
        await services.logs.delete_of(job_ids)
        await services.metrics.delete_of(job_ids)
        await services.artifacts.delete_of(job_ids)
        await services.secrets.delete_of(job_ids)
        await services.trials.delete_of(job_ids)

    async def _ownerless(self) -> int:
        """Files of jobs that are gone: a run that nobody waited for any more stored them late."""
        owners = await self._services.artifacts.owners(self._owner, FILES)
        self._owner = owners[-1] if owners else ""
        gone = sorted(await self._services.jobs.absent(owners)) if owners else []
        if gone:
            await self._delete_things_of(gone)
        return len(gone)

    async def _unnamed_secrets(self, before: datetime) -> int:
        """Secrets that nothing names: of what came to nothing or is gone, or replaced by those of a retry."""
        sealed = await self._services.secrets.older(before, self._sealed, FILES)
        self._sealed = sealed[-1][0] if len(sealed) == FILES else ""
        runs = [(i, owner) for i, owner in sealed if is_of_workflow(owner)]
        scheduled = [(i, name) for i, owner in sealed if (name := schedule_of(owner)) is not None]
        jobs = [(i, owner) for i, owner in sealed if not is_of_workflow(owner) and schedule_of(owner) is None]
        unnamed = await _unnamed(runs, self._services.workflows.sealed_of)
        unnamed += await _unnamed(scheduled, self._services.schedules.sealed_of)
        unnamed += await self._unnamed_by_jobs(jobs)
        if unnamed:
            await self._services.secrets.delete(unnamed)
        return len(unnamed)

    async def _unnamed_by_jobs(self, sealed: Sequence[tuple[str, str]]) -> list[str]:
        """A job that is there and cannot be read keeps all of its own; those of a sweep, under its id, go with its
        first trial."""
        owners = {job_id for _, job_id in sealed}
        jobs = await self._services.jobs.get_many(owners) if owners else {}
        gone = await self._services.jobs.absent(owners - jobs.keys()) if owners - jobs.keys() else set()
        kept = await self._services.batches.get_many(i for i, _ in sealed) if sealed else {}
        others = [(i, owner) for i, owner in sealed if i not in kept]
        return [i for i, owner in others if owner in gone or (owner in jobs and jobs[owner].sealed != i)]


async def _unnamed(
    sealed: Sequence[tuple[str, str]], sealed_of: Callable[[set[str]], Awaitable[Mapping[str, str | None]]]
) -> list[str]:
    """Those that their owners, runs or schedules, do not name."""
    named = await sealed_of({owner for _, owner in sealed}) if sealed else {}
    return [sealed_id for sealed_id, owner in sealed if named.get(owner) != sealed_id]
