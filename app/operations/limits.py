"""Let jobs into the queue as places in their named limits are free, in the order of class and key.

A place is taken before the change that needs it is committed. When that change is then lost, or this process dies, the
place is held by a job that must not have it, until the reconciler gives it back; never are there too many.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from app.domain.explain import Reason, named_limit
from app.domain.job import Job
from app.domain.limits import Held, full, holds_places, in_turn, sizes_of
from app.domain.transitions import Change, become_eligible
from app.operations.readiness import is_ready, verdicts_on
from app.services import Services

MOST_LOOKED_AT = 200
"""Of each class that waits for a place."""
HELD_MAX_AGE = 0.25
MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class LimitState:
    """A named limit: its size, who holds its places (at most a hundred, by id), of how many, and how many wait."""

    name: str
    size: int
    holders: tuple[str, ...]
    held: int
    waiting: int


async def limit_states(services: Services) -> list[LimitState]:
    """Every limit of the setting, by name."""
    sizes = services.settings.limits.concurrency
    held, waiting = await services.limits.held(), await services.jobs.waiting_counts(sorted(sizes))
    return [
        LimitState(name, sizes[name], tuple(sorted(holders)[:MOST_SHOWN]), len(holders), waiting[name])
        for name in sorted(sizes)
        for holders in [held.get(name, {})]
    ]


async def decide_admission(
    services: Services, names: Collection[str], ready: Sequence[Job] = ()
) -> list[tuple[Job, Change]]:
    """The changes of those jobs that are first in these limits and got their places. `ready`: jobs that are looked at
    whatever stands before them."""
    sizes = services.settings.limits.concurrency
    decided: list[tuple[Job, Change]] = []
    no_room: set[str] = full(await services.limits.held(), sizes)
    for job in await _candidates(services, names, ready):
        if no_room.intersection(job.limits):
            continue
        stamp = services.stamp()
        if await services.limits.take(job.id, sizes_of(job, sizes), stamp.op):
            decided.append((job, become_eligible(job, stamp)))
        else:
            no_room = full(await services.limits.held(), sizes)
    return decided


async def _candidates(services: Services, names: Collection[str], ready: Sequence[Job]) -> list[Job]:
    """Those that nothing but a place keeps, in their order."""
    waiting = await services.jobs.waiting_for(names, MOST_LOOKED_AT)
    jobs = list({job.id: job for job in (*ready, *waiting)}.values())
    verdicts, now = await verdicts_on(services, jobs), services.clock.now()
    return in_turn(job for job, v in zip(jobs, verdicts, strict=True) if is_ready(job, v, now))


async def held_places(services: Services, jobs: Iterable[Job]) -> Held:
    """Who holds what, a moment old; nothing where none of the jobs waits for a place."""
    if not any(job.limits and not holds_places(job) for job in jobs):
        return {}
    held: Held = await services.recent.get("limits", services.limits.held, HELD_MAX_AGE)
    return held


def lacking(services: Services, job: Job, held: Held) -> tuple[Reason, ...]:
    """Why the job is not let in: one reason for each of its limits that has no free place."""
    if not job.limits or holds_places(job):
        return ()
    sizes = sizes_of(job, services.settings.limits.concurrency)
    taken = [name for name in sorted(full(held, sizes)) if job.id not in held[name]]
    return tuple(named_limit(name, sizes[name], sorted(held[name])) for name in taken)
