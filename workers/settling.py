"""Putting right what a node's jobs say when no process of theirs lives: after a crash, and when the worker leaves.

Only the holder of the node's lock may settle, and only when the processes of earlier runs are seen dead.
"""

from __future__ import annotations

from collections.abc import Container

import structlog

from app.domain.job import Job
from app.domain.states import JobStatus
from app.domain.transitions import Change, Stamp, lose_dispatch
from app.operations.change import commit_all
from app.services import Services
from workers.outcome import Ending, decide
from workers.patience import chance
from workers.run import RunEnding, RunKey, RunReport

log = structlog.get_logger()
MESSAGES = {
    RunEnding.CRASHED: "the worker ended while the job ran; it is back, and the run is not",
    RunEnding.LOST: "no process of this run lives on its node any more",
    RunEnding.DRAINED: "the worker stopped before the run began",
}


async def settle_running(
    services: Services, node_id: str, but: Container[RunKey] = frozenset(), ending: RunEnding = RunEnding.LOST
) -> int:
    """End the jobs of the node that say that they run, or stand frozen, and have no run here (`but`: those that have).

    The jobs are read before `but` is asked: a run that begins meanwhile is in it by then, and of one that ends
    meanwhile the job has moved on, so that the change loses.
    """
    jobs = await services.jobs.on_node(node_id, [JobStatus.RUNNING, JobStatus.PAUSED])
    lost = [job for job in jobs if RunKey(job.id, job.run_no) not in but]
    changes = [(job, change) for job in lost if (change := _ended(job, ending, services.stamp())) is not None]
    settled = [job for job in await commit_all(services, changes) if job is not None]
    for job in settled:
        log.warning("run.settled", job_id=job.id, run_no=job.run_no, status=job.status)
    return len(settled)


def _ended(job: Job, ending: RunEnding, stamp: Stamp) -> Change | None:
    report = RunReport(ending, MESSAGES[ending])
    return decide(job, Ending(RunKey(job.id, job.run_no), report), chance(), stamp)


async def give_back_scheduled(services: Services, node_id: str) -> int:
    """Jobs dispatched here that have not started go back to the queue at once."""
    jobs = await services.jobs.on_node(node_id, [JobStatus.SCHEDULED])
    changes = [(job, lose_dispatch(job, services.stamp())) for job in jobs]
    return sum(job is not None for job in await commit_all(services, changes))
