"""Carry to the jobs of a workflow what is wanted of the whole: cancel, pause, resume; and see what was missed.

What is wanted stands in the workflow. So this may be done again at any time: a job that was asked for and is not there
is made first, so that nobody who is slow can make it later, out of reach of the wish.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from app.domain.control_decisions import decide_cancel, decide_pause
from app.domain.dependencies import Met
from app.domain.errors import Conflict
from app.domain.job import Job
from app.domain.states import JobStatus
from app.domain.transitions import SYSTEM, Change, Stamp
from app.domain.workflows.changes import Draft
from app.domain.workflows.controls import granted
from app.domain.workflows.state import JobRef, Workflow, WorkflowStatus, active_jobs
from app.operations.advance import decide_waiting
from app.operations.change import TRIES, commit_all
from app.operations.control import ring_for
from app.operations.resume import PAUSES, decide_resume
from app.operations.workflows.advancing import change_workflow, end_of
from app.operations.workflows.loading import Loaded, load
from app.operations.workflows.releasing import release
from app.services import Services

log = structlog.get_logger()
ROUNDS = 5
PAUSED_WITH = "its workflow is paused"
CANCELLED_WITH = "its workflow is cancelled"


async def carry_out(services: Services, workflow_id: str) -> Workflow:
    """Make the jobs agree with the workflow, until nothing is to be done. Raises NotFound, Unavailable."""
    done: str | None = None
    for _ in range(ROUNDS):
        loaded = await load(services, workflow_id)
        wanted = _wanted(loaded.workflow)
        if wanted is None or (wanted == done and loaded.workflow.wish is None):
            return loaded.workflow
        if not await _ask(services, await _all_jobs(services, loaded), wanted, _who(loaded.workflow, wanted)):
            continue
        done = wanted
        if wanted == "cancel":
            return (await load(services, workflow_id)).workflow
        await change_workflow(services, workflow_id, lambda now, _, seen=wanted: _granted(now, seen))  # type: ignore[misc]
    return (await load(services, workflow_id)).workflow


def _wanted(workflow: Workflow) -> str | None:
    """What its jobs must agree with; a running one only wants something of them when it was resumed."""
    if workflow.over:
        return None
    if workflow.cancelling:
        return "cancel"
    if workflow.status is WorkflowStatus.PAUSED:
        return "pause"
    return "resume" if (workflow.history and workflow.history[-1].reason == "resumed") or workflow.wish else None


def _who(workflow: Workflow, wanted: str) -> str:
    """Who wanted it of the workflow, and so of its jobs."""
    reason = {"cancel": "cancel_requested", "pause": "paused", "resume": "resumed"}[wanted]
    return next((entry.actor for entry in reversed(workflow.history) if entry.reason == reason), SYSTEM)


def _granted(loaded: Loaded, wanted: str) -> Draft | None:
    return granted(loaded.workflow) if loaded.workflow.wish == wanted else None


async def _all_jobs(services: Services, loaded: Loaded) -> list[Job]:
    """The jobs that are active; those that are missing are made, those that have ended are told."""
    refs = {ref.job_id(loaded.workflow.id): ref for ref in active_jobs(loaded.workflow)}
    jobs = await services.jobs.get_many(refs) if refs else {}
    await _mend(services, loaded, [ref for job_id, ref in refs.items() if job_id not in jobs], list(jobs.values()))
    jobs = await services.jobs.get_many(refs) if refs else {}
    return [job for job in jobs.values() if not job.terminal]


async def _mend(services: Services, loaded: Loaded, missing: Sequence[JobRef], jobs: Sequence[Job]) -> int:
    """Make the jobs that are missing, tell of those that have ended. How many."""
    released = await release(services, loaded, missing) if missing else None
    ended = [each for job in jobs if (each := end_of(job)) is not None]
    if released is not None:
        ended += released.ended
        await admit(services, released.jobs)
    if ended:
        told = tuple(ended)
        _, made = await change_workflow(services, loaded.workflow.id, lambda now, _: Draft(now.workflow, ended=told))
        await admit(services, made)
    return len(missing) + len(ended)


async def admit(services: Services, jobs: Sequence[Job]) -> None:
    """Let jobs that need places in named limits have them, where there are some."""
    if limited := [job for job in jobs if job.status is JobStatus.SUBMITTED]:
        await commit_all(services, await decide_waiting(services, limited))


async def _ask(services: Services, jobs: Sequence[Job], wanted: str, actor: str) -> bool:
    """Have each job be as it is wanted; one that cannot be asked has moved on. False where some kept changing."""
    for _ in range(TRIES):
        decided = [(job, _change_of(job, wanted, services.stamp(actor))) for job in jobs]
        pairs = [(job, change) for job, change in decided if change is not None]
        results = await commit_all(services, pairs)
        await ring_for(services, [after for after in results if after is not None])
        lost = [job.id for (job, _), after in zip(pairs, results, strict=True) if after is None]
        if not lost:
            return True
        jobs = [job for job in (await services.jobs.get_many(lost)).values() if not job.terminal]
    return False


def _change_of(job: Job, wanted: str, stamp: Stamp) -> Change | None:
    try:
        return _decide(job, wanted, stamp)
    except Conflict as refusal:
        log.info("workflow.job_not_asked", job_id=job.id, wanted=wanted, code=refusal.code)
        return None


def _decide(job: Job, wanted: str, stamp: Stamp) -> Change | None:
    if wanted == "cancel":
        return decide_cancel(job, stamp, CANCELLED_WITH)
    if wanted == "pause":
        return decide_pause(job, stamp, PAUSED_WITH, release=False)
    return decide_resume(job, stamp, None, Met()) if _was_paused_with_it(job) else None


def _was_paused_with_it(job: Job) -> bool:
    """Whether its workflow paused it: one that a user paused by itself stays so."""
    if job.wants("pause", "release"):
        return job.control is not None and job.control.reason == PAUSED_WITH
    last = next((e for e in reversed(job.history) if e.reason in PAUSES), None)
    return job.status is JobStatus.PAUSED and last is not None and last.detail == PAUSED_WITH


async def look_after(services: Services, workflow_id: str) -> int:
    """Find what a crash has left of one workflow, and do it. How much was mended."""
    loaded = await load(services, workflow_id)
    refs = {ref.job_id(workflow_id): ref for ref in active_jobs(loaded.workflow)}
    jobs = await services.jobs.get_many(refs) if refs else {}
    ended = [job for job in jobs.values() if job.terminal]
    mended = await _mend(services, loaded, [ref for job_id, ref in refs.items() if job_id not in jobs], ended)
    if loaded.workflow.wish is not None:
        await carry_out(services, workflow_id)
        mended += 1
    elif not refs and not mended and not loaded.workflow.approve_by:
        mended += await _start_again(services, loaded)
    return mended


async def _start_again(services: Services, loaded: Loaded) -> int:
    """Nothing of it is active: look at every step. There is something to do only after too many facts were asked for in
    one write."""
    order = loaded.pinned.graph.order
    before = loaded.workflow.seq
    workflow, made = await change_workflow(
        services, loaded.workflow.id, lambda now, _: Draft(now.workflow, look_at=order)
    )
    await admit(services, made)
    return int(workflow.seq != before)
