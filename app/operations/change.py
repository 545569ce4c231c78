"""Change jobs: decide on a loaded job, commit by compare-and-set, then the effects, then the dependants.

A lost race is decided again on fresh state, up to three times, so that a cancel does not fail because a progress won.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from app.domain.errors import NotFound, StaleJob, Unavailable
from app.domain.job import Job
from app.domain.limits import limits_of
from app.domain.states import JobStatus
from app.domain.transitions import SYSTEM, Change, Stamp, apply
from app.operations.advance import decide_dependants, decide_waiting
from app.operations.batches.following import decide_of_batches
from app.operations.effects import Moved, carry_out
from app.operations.hints import HINT_SECONDS, hinted
from app.operations.inheritance import decide_borrowing, decide_lending
from app.operations.limits import decide_admission
from app.operations.workflows.advancing import note_ends
from app.services import Services

log = structlog.get_logger()
TRIES = 3
Decide = Callable[[Job, Stamp], Change | None]


async def transition(services: Services, job_id: str, decide: Decide, actor: str = SYSTEM) -> Job:
    """The job after the change that `decide` wants; None from it means that nothing is to change.

    Raises NotFound, StaleJob after three lost races, and whatever `decide` raises.
    """
    for _ in range(TRIES):
        job = await services.jobs.get(job_id)
        if job is None:
            raise NotFound("job", job_id)
        change = decide(job, services.stamp(actor))
        if change is None:
            return job
        [after] = await commit_all(services, [(job, change)])
        if after is not None:
            return after
    raise StaleJob(job_id)


async def commit_all(services: Services, pairs: Sequence[tuple[Job, Change]]) -> list[Job | None]:
    """Commit changes decided on loaded jobs; per pair the job after it, or None where the race was lost.

    The effects are done when this returns, and every dependant down the graph has been moved. A store that goes away
    after the commit fails none of it: what could not follow is the reconciler's.
    """
    results, moved = await _commit(services, pairs)
    await _follow(services, moved, await _take_effect(services, moved))
    return results


async def carry_on(services: Services, moved: Sequence[Moved]) -> None:
    """What follows from changes that were committed elsewhere: their effects, then what they make of others."""
    await _follow(services, moved, await _take_effect(services, moved))


async def _follow(services: Services, moved: Sequence[Moved], made: Sequence[Job]) -> None:
    """What changes make of others, and so on. `made`: jobs that workflows have made of them; some wait for a place."""
    try:
        while moved:
            limited = [job for job in made if job.status is JobStatus.SUBMITTED]
            pairs = await decide_waiting(services, limited) if limited else []
            _, moved = await _commit(services, pairs + await _following(services, moved))
            made = await _take_effect(services, moved)
    except Unavailable as error:
        log.warning("dependants.postponed", store=error.store)


async def _following(services: Services, moved: Sequence[Moved]) -> list[tuple[Job, Change]]:
    """What these changes make of their batches, of their dependants, of who waits for their places, and, where they
    lend another class than before, of their parents."""
    of_batches = await decide_of_batches(services, moved)
    ended = [m.after.id for m in moved if m.after.terminal]
    lenders = [m.after for m in moved if m.lends_otherwise]
    dependants = await decide_dependants(services, ended) if ended else []
    lent = await decide_lending(services, lenders) if lenders else []
    again = [m.after for m in moved if m.waits_again]
    names = {name for m in moved if m.gave_places_back for name in limits_of(m.after)}
    admitted = await decide_admission(services, names) if names else []
    return of_batches + dependants + admitted + lent + (await decide_borrowing(services, again) if again else [])


async def lend_upwards(services: Services, job: Job) -> None:
    """Have the ancestors of a job that has just come be considered in its class, where that is more urgent."""
    await commit_all(services, await decide_lending(services, [job]))


async def look_again(services: Services, job: Job) -> Job:
    """One more look at a job that has just become SUBMITTED: what it waits for may have happened meanwhile."""
    if job.status is not JobStatus.SUBMITTED:
        return job
    return await hinted("look_again", _look(services, job)) or job


async def _look(services: Services, job: Job) -> Job | None:
    moved = await commit_all(services, await decide_waiting(services, [job]))
    return next((after for after in moved if after is not None and after.id == job.id), None)


async def _commit(services: Services, pairs: Sequence[tuple[Job, Change]]) -> tuple[list[Job | None], list[Moved]]:
    if not pairs:
        return [], []
    won = await services.jobs.commit([change for _, change in pairs])
    services.refusals.note("change", won.count(False))
    results = [apply(job, change) if ok else None for (job, change), ok in zip(pairs, won, strict=True)]
    moved = [Moved(job, after) for (job, _), after in zip(pairs, results, strict=True) if after is not None]
    return results, moved


async def _take_effect(services: Services, moved: Sequence[Moved]) -> list[Job]:
    """The effects of changes, and at the same time, since what waits for a step should not wait for these, what they
    mean to workflows. The jobs that were made of it, as far as that was done in time: a workflow whose expressions are
    slow goes on by itself, and holds up nobody else's ends."""
    ended = [m.after for m in moved if m.ended and m.after.workflow_id is not None]
    if not ended:
        await carry_out(services, moved)
        return []
    noting = services.workflow_turns.go_on(note_ends(services, ended))
    await asyncio.gather(carry_out(services, moved), asyncio.wait([noting], timeout=HINT_SECONDS))
    return noting.result() if noting.done() else []
