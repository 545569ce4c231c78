"""Change a workflow: decide on it as it is loaded, advance, write by its guard, then make the jobs.

What a job's end leads to is decided and written at once, by the process that committed the end. When that process dies
in between, the keeper of the scheduler's leader finds the end that was not told, or the job that was not made.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import structlog

from app.domain.errors import Conflict
from app.domain.job import Job
from app.domain.transitions import SYSTEM, Stamp
from app.domain.workflows.advance import Advance, Ended, Facts, advance
from app.domain.workflows.changes import Draft, apply, change, over
from app.domain.workflows.state import OF_JOB, JobRef, StepStatus, Workflow
from app.operations.workflows import caching
from app.operations.workflows.evaluating import facts_of
from app.operations.workflows.loading import Loaded, load
from app.operations.workflows.releasing import release
from app.services import Services

log = structlog.get_logger()
TRIES = 12
ROUNDS = 50
"""Times that facts are asked for in one write: steps whose conditions hang on each other's skips."""
MOST_RUNS = 1_000
"""Of a step: a workflow is changed no more often (`MAX_HISTORY`)."""
Decide = Callable[[Loaded, Stamp], Draft | None]


async def change_workflow(
    services: Services, workflow_id: str, decide: Decide, actor: str = SYSTEM
) -> tuple[Workflow, list[Job]]:
    """The workflow after what `decide` wants and what follows from it, and the jobs that were made.

    Raises NotFound, Conflict after many lost races, and whatever `decide` raises.
    """
    for attempt in range(TRIES):
        loaded = await load(services, workflow_id)
        stamp = services.stamp(actor)
        draft = decide(loaded, stamp)
        if draft is None:
            return loaded.workflow, []
        after = await advanced(services, loaded, draft, stamp)
        made = change(loaded.workflow, draft, after, stamp)
        if made is None:
            return loaded.workflow, []
        if await services.workflows.commit(made):
            workflow = apply(loaded.workflow, made)
            return await _follow(services, Loaded(workflow, loaded.pinned), after.release)
        await asyncio.sleep(random.random() * 0.01 * attempt)  # noqa: S311  chance that only spreads
    raise Conflict(f"Workflow {workflow_id} kept changing; try again.", code="stale_job")


async def advanced(services: Services, loaded: Loaded, draft: Draft, stamp: Stamp) -> Advance:
    """What follows from a draft, facts asked for as often as they are needed."""
    facts: dict[str, Facts] = {}
    for _ in range(ROUNDS):
        after = advance(
            loaded.pinned, draft.workflow, draft.ended, facts, stamp.at,
            approvals=draft.approvals, look_at=draft.look_at,
        )  # fmt: skip
        if not after.asks:
            break
        told = _as_it_becomes(draft.workflow, after)
        facts |= await facts_of(services, Loaded(told, loaded.pinned), after.asks)
    return after


def _as_it_becomes(workflow: Workflow, after: Advance) -> Workflow:
    """The workflow as expressions see it: with the ends that are about to be written."""
    return replace(workflow, steps=over(workflow.steps, after.steps))


async def _follow(services: Services, loaded: Loaded, refs: Sequence[JobRef]) -> tuple[Workflow, list[Job]]:
    """Make the jobs; what could not be made has ended, and so on."""
    if not refs:
        return loaded.workflow, []
    released = await release(services, loaded, refs)
    if not released.ended:
        return loaded.workflow, released.jobs
    ended = tuple(released.ended)
    workflow, more = await change_workflow(
        services, loaded.workflow.id, lambda now, _: Draft(now.workflow, ended=ended)
    )
    return workflow, released.jobs + more


async def note_ends(services: Services, jobs: Iterable[Job]) -> list[Job]:
    """Tell workflows of jobs of theirs that have ended. The jobs that were made. Whatever goes wrong is logged: the
    keeper finds what was not told."""
    by_workflow: dict[str, list[Job]] = {}
    for job in jobs:
        if job.workflow_id is not None and job.terminal:
            by_workflow.setdefault(job.workflow_id, []).append(job)
    made = await asyncio.gather(*(_noted(services, each, of) for each, of in by_workflow.items()))
    return [job for of in made for job in of]


async def _noted(services: Services, workflow_id: str, jobs: Sequence[Job]) -> list[Job]:
    turns = services.workflow_turns
    turns.add(workflow_id, [each for job in jobs if (each := end_of(job)) is not None])
    seen: list[Loaded] = []
    try:
        async with turns.turn(workflow_id) as ended:
            if not ended:
                return []

            def decide(now: Loaded, _: Stamp) -> Draft:
                seen.append(now)
                return Draft(now.workflow, ended=ended)

            _, made = await change_workflow(services, workflow_id, decide)
        await _remember(services, seen[-1], ended)
        return made
    except Exception:
        log.exception("workflow.advance_failed", workflow_id=workflow_id, jobs=len(jobs))
        return []


def end_of(job: Job) -> Ended | None:
    """The end of a workflow's job as its workflow takes it; None while it has not ended."""
    if job.workflow_id is None or job.step_id is None or job.status not in OF_JOB:
        return None
    run = _run_of(job)
    return None if run is None else Ended(JobRef(job.step_id, job.step_item, run), OF_JOB[job.status])


def _run_of(job: Job) -> int | None:
    """Which run of its step a job belongs to: the one whose id it has."""
    assert job.workflow_id is not None and job.step_id is not None  # noqa: S101 - asked by `end_of`
    runs = (JobRef(job.step_id, job.step_item, run) for run in range(MOST_RUNS))
    return next((ref.run for ref in runs if ref.job_id(job.workflow_id) == job.id), None)


async def _remember(services: Services, loaded: Loaded, ended: Sequence[Ended]) -> None:
    """Jobs of steps with `cache` are known from now on by what they were made from."""
    steps, done = loaded.pinned.steps, StepStatus.COMPLETED
    refs = [each.ref for each in ended if each.status is done and each.ref.step_id in steps]
    ids = [ref.job_id(loaded.workflow.id) for ref in refs if steps[ref.step_id].cache]
    for job in (await services.jobs.get_many(ids)).values() if ids else ():
        await caching.remember(services, job)
