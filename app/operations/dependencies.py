"""Add parents to a job that waits: checked as a whole, then added in one write with the version of the graph.

Of two requests that would close a cycle together the second finds a newer version and looks again, now at the edge of
the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.dependencies import Verdict
from app.domain.dependency_transitions import add_parents, refuse_started
from app.domain.errors import FieldError, Invalid, StaleJob
from app.domain.ids import is_object_id
from app.domain.job import DependencyType, Job
from app.domain.specification import MAX_DEPENDENCIES
from app.domain.transitions import apply
from app.operations.change import carry_on, look_again
from app.operations.control import load, refuse_other_version
from app.operations.cycles import find_cycle
from app.operations.effects import Moved
from app.operations.parents import refuse_unknown, verdict_on_new
from app.services import Services

PATH = "depends_on"
TRIES = 8
"""How often a request is decided anew because another one was faster."""
SHOWN = 20
"""Jobs of a cycle that are named."""


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
        version = await services.graph.version()
        job = await load(services, job_id)
        refuse_other_version(job, expected_seq)
        after = await _add(services, job, asked, version)
        if after is not None:
            return await look_again(services, after)
    raise StaleJob(job_id)


def _places(parents: Sequence[str]) -> Mapping[str, str]:
    """Each parent once, with the path at which it is named first. Raises Invalid for what can be no id."""
    wrong = [n for n, parent in enumerate(parents) if not is_object_id(parent)]
    if wrong:
        raise Invalid(FieldError(f"{PATH}[{n}]", "not a job id: ids hold only a-z, 0-9 and _") for n in wrong)
    return {parent: f"{PATH}[{parents.index(parent)}]" for parent in dict.fromkeys(parents)}


async def _add(services: Services, job: Job, asked: _Asked, version: int) -> Job | None:
    """The job after the change, or as it is when there is none; None when job or graph changed meanwhile."""
    refuse_started(job)
    kind = asked.kind or job.dependency_type
    new = tuple(parent for parent in asked.places if parent not in job.dependencies)
    if not new and kind is job.dependency_type:
        return job
    every = (*job.dependencies, *new)
    verdict = await _checked(services, job, kind, new, asked)
    change = add_parents(job, every, kind, verdict, services.stamp(asked.actor), asked.reason)
    if not await services.graph.commit(job, change, version):
        return None
    after = apply(job, change)
    await carry_on(services, [Moved(job, after)])
    return after


async def _checked(services: Services, job: Job, kind: DependencyType, new: tuple[str, ...], asked: _Asked) -> Verdict:
    """The verdict on the job with these parents too. Raises Invalid for whatever is wrong with them."""
    every = (*job.dependencies, *new)
    if len(every) > MAX_DEPENDENCIES:
        raise Invalid.one(PATH, f"the job would have {len(every):,}; at most {MAX_DEPENDENCIES:,}")
    found = await services.jobs.get_many(every)
    refuse_unknown({parent: asked.places[parent] for parent in new}, found)
    if (cycle := await find_cycle(services.graph, job.id, new, PATH)) is not None:
        way = " → ".join(cycle if len(cycle) <= SHOWN else (*cycle[: SHOWN - 2], "…", *cycle[-2:]))
        message = f"it would wait for itself: {way}; leave {cycle[1]} out"
        raise Invalid.one(asked.places[cycle[1]], message, code="cycle")
    return verdict_on_new(kind, every, found, asked.places, "dependency_type")
