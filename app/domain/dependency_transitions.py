"""The edge that adds parents to a job that waits already."""

from __future__ import annotations

from app.domain.dependencies import Met, Verdict
from app.domain.errors import InvalidTransition
from app.domain.job import DependencyType, Job
from app.domain.states import JobStatus, allowed_from
from app.domain.transitions import Change, Stamp, make_change

BEFORE_THE_START = frozenset({JobStatus.SUBMITTED, JobStatus.QUEUED, JobStatus.PAUSED})


def add_parents(
    job: Job, parents: tuple[str, ...], kind: DependencyType, verdict: Verdict, stamp: Stamp, detail: str | None = None
) -> Change:
    """SUBMITTED or held, and it stays so; QUEUED → SUBMITTED, unless what it waits for has happened. `parents`: all
    that it is to have; `verdict`: theirs. Raises InvalidTransition for a job that has started."""
    refuse_started(job)
    fields = {"dependencies": parents, "dependency_type": kind}
    if job.status is JobStatus.QUEUED and not isinstance(verdict, Met):
        back = {**fields, "queued_at": None}
        return make_change(job, JobStatus.SUBMITTED, "dependency_added", stamp, detail, **back)
    return make_change(job, job.status, "dependencies_added", stamp, detail, **fields)


def refuse_started(job: Job) -> None:
    """Raises InvalidTransition: only what has never begun can be made to wait for more."""
    if job.status in BEFORE_THE_START and not job.attempt and not job.on_node:
        return
    because = "it has ended" if job.terminal else "it has started, so it can wait for nothing more"
    raise InvalidTransition(job.id, job.status, JobStatus.SUBMITTED, allowed_from(job.status), because)
