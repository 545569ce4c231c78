"""What becomes of a job whose run is gone with its worker. Whoever finds out asks here: the node itself, or the reaper.

What a user had asked of the run is honoured: a cancelled job is not tried again, and a paused one waits for its resume.
"""

from __future__ import annotations

from dataclasses import replace

from app.domain.control_transitions import as_asked, release
from app.domain.failures import with_fingerprint
from app.domain.job import Job, JobError
from app.domain.states import JobStatus
from app.domain.transitions import Change, RunEnd, Stamp, finish_cancel, lose_worker


def lose_run(job: Job, message: str, stamp: Stamp, *, crashed: bool, end: RunEnd | None = None) -> Change | None:
    """The change that ends the lost run of a RUNNING or frozen job; None when it has none.

    `crashed`: evidence that the worker crashed, see `lose_worker`. `end`: what is known of the run besides.
    """
    if job.status is not JobStatus.RUNNING and not job.frozen:
        return None
    known = end or RunEnd()
    if job.wants("cancel"):
        asked = job.control.reason if job.control else None
        return finish_cancel(job, replace(known, error=None), as_asked(job, stamp), asked)
    if job.wants("pause", "release"):
        return release(job, replace(known, error=None), as_asked(job, stamp), message)
    step = job.progress.step if job.progress else None
    error = known.error or with_fingerprint(JobError("worker_lost", message, step))
    return lose_worker(job, replace(known, error=error), stamp, crashed=crashed)
