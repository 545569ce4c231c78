"""Add parents to a job that waits: checked as a whole, announced at the version of the graph that was looked at, then
made.

Of two requests that would close a cycle together the second finds a newer version and looks again, now at what the
first has announced. What a process announced and left, because it died, is made by whoever meets it: the same change,
by the same compare-and-set, so that it is made once even if its maker comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from app.domain.dependencies import Verdict
from app.domain.dependency_transitions import add_parents, refuse_started
from app.domain.errors import FieldError, Invalid, StaleJob
from app.domain.ids import is_object_id
from app.domain.job import DependencyType, Job
from app.domain.ports.graph import GraphState
from app.domain.specification import MAX_DEPENDENCIES
from app.domain.transitions import Change, apply
from app.operations.change import carry_on, lend_upwards, look_again
from app.operations.control import load, refuse_other_version
from app.operations.cycles import Seen, find_cycle
from app.operations.effects import Moved
from app.operations.parents import refuse_unknown, verdict_on_new
from app.services import Services

log = structlog.get_logger()
PATH = "depends_on"
TRIES = 50
"""How often a request is decided anew because another one was faster; of those that meet one gets on each time."""
SHOWN = 20
"""Jobs of a cycle that are named."""
LEFT = timedelta(seconds=20)
"""For so long an announced change belongs to the request that announced it, its store's patience included."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request: the parents, each with its path; None as `kind` keeps the job's."""

    places: Mapping[str, str]
    kind: DependencyType | None
    actor: str
    reason: str | None


async def add_dependencies(
    services: Services,
    job_id: str,
    parents: Sequence[str],
    kind: DependencyType | None,
    actor: str,
    reason: str | None = None,
    expected_seq: int | None = None,
) -> Job:
    """The job after it: SUBMITTED, or still held; QUEUED where everything that it waits for has happened. `kind` is
    that of all its dependencies from now on; None keeps it. What it names already stays, so that it may be sent again.

    Raises NotFound; Invalid with `unknown_job`, `cycle` (naming the way), `dependency_failed` or `graph_too_large`;
    InvalidTransition for a job that has started; PreconditionFailed; StaleJob.
    """
    asked = _Asked(_places(parents), kind, actor, reason)
    for _ in range(TRIES):
        seen = await services.graph.state()
        await make_announced(services, seen, LEFT)
        job = await load(services, job_id)
        refuse_other_version(job, expected_seq)
        after = await _add(services, job, asked, seen)
        if after is not None:
            return await look_again(services, after)
    raise StaleJob(job_id)


async def make_announced(services: Services, seen: GraphState, left: timedelta) -> int:
    """Make the changes that were announced longer ago than `left`. Answers how many there were."""
    now = services.clock.now()
    old = [change for change in seen.announced.values() if change.entry.at < now - left]
    for change in old:
        await _make(services, await services.jobs.get(change.job_id), change)
    if old:
        log.warning("dependencies.announced_made", jobs=len(old))
    return len(old)


async def _make(services: Services, job: Job | None, change: Change) -> Job | None:
    """The job after the announced change; None where it can be made no more. Either way it is announced no more: the
    job has left the version that it was decided on."""
    [won] = await services.jobs.commit([change]) if job is not None else [False]
    await services.graph.settle(change)
    if job is None or not won:
        return None
    if job.seq != change.seq:  # its maker had come as far as that
        await lend_upwards(services, job)
        return None
    after = apply(job, change)
    await carry_on(services, [Moved(job, after)])
    return after


def _places(parents: Sequence[str]) -> Mapping[str, str]:
    """Each parent once, with the path at which it is named first. Raises Invalid for what can be no id."""
    wrong = [n for n, parent in enumerate(parents) if not is_object_id(parent)]
    if wrong:
        raise Invalid(FieldError(f"{PATH}[{n}]", "not a job id: ids hold only a-z, 0-9 and _") for n in wrong)
    return {parent: f"{PATH}[{parents.index(parent)}]" for parent in dict.fromkeys(parents)}


async def _add(services: Services, job: Job, asked: _Asked, seen: GraphState) -> Job | None:
    """The job after the change, or as it is when there is none; None when job or graph changed meanwhile."""
    refuse_started(job)
    kind = asked.kind or job.dependency_type
    new = tuple(parent for parent in asked.places if parent not in job.dependencies)
    if not new and kind is job.dependency_type:
        return job
    verdict = await _checked(services, job, kind, new, asked, Seen(services.graph, seen.announced))
    stamp = services.stamp(asked.actor)
    change = add_parents(job, (*job.dependencies, *new), kind, verdict, stamp, asked.reason)
    if not await services.graph.announce(change, seen.version):
        return None
    return await _make(services, job, change)


async def _checked(
    services: Services, job: Job, kind: DependencyType, new: tuple[str, ...], asked: _Asked, graph: Seen
) -> Verdict:
    """The verdict on the job with these parents too. Raises Invalid for whatever is wrong with them."""
    every = (*job.dependencies, *new)
    if len(every) > MAX_DEPENDENCIES:
        raise Invalid.one(PATH, f"the job would have {len(every):,}; at most {MAX_DEPENDENCIES:,}")
    found = await services.jobs.get_many(every)
    refuse_unknown({parent: asked.places[parent] for parent in new}, found)
    if (cycle := await find_cycle(graph, job.id, new, PATH)) is not None:
        way = " → ".join(cycle if len(cycle) <= SHOWN else (*cycle[: SHOWN - 2], "…", *cycle[-2:]))
        message = f"it would wait for itself: {way}; leave {cycle[1]} out"
        raise Invalid.one(asked.places[cycle[1]], message, code="cycle")
    return verdict_on_new(kind, every, found, asked.places, "dependency_type")
