"""Retry a job by hand: another attempt of one that ended without success, as it was or with what is asked changed.

What is changed is checked as a submit checks it, by the version of the template that the job was made from; only then
is anything changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.domain.asked import asked_paths
from app.domain.control_transitions import retry_manually
from app.domain.dependencies import Verdict
from app.domain.errors import InvalidTransition, StaleJob
from app.domain.job import Asked, Job
from app.domain.json import Json, deep_merge
from app.domain.priority import Priority
from app.domain.resources import DIMENSIONS, Vector
from app.domain.secrets import HIDDEN, Sealed, sealed_by
from app.domain.sizing.evidence import Sizing
from app.domain.specification import JobRequest, Specification
from app.domain.states import JobStatus, allowed_from
from app.domain.templates import canonical_parameters
from app.domain.transitions import Change, Stamp
from app.operations.change import look_again
from app.operations.control import control_job, load
from app.operations.once import IdempotencyKey
from app.operations.plan import plan, template_of
from app.operations.readiness import is_eligible, verdicts_on
from app.operations.resume import refuse_if_hopeless
from app.operations.sealing import unseal
from app.services import Services


@dataclass(frozen=True, slots=True)
class RetryChanges:
    """What shall be different. `parameters` are laid over the job's (objects merge deep), `resources` (in units) over
    its own; empty and None keep what it has."""

    parameters: Mapping[str, Json] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    priority: Priority | None = None


AS_IT_WAS = RetryChanges()


async def retry(
    services: Services,
    job_id: str,
    actor: str,
    reason: str | None,
    changes: RetryChanges = AS_IT_WAS,
    expected_seq: int | None = None,
    key: IdempotencyKey | None = None,
) -> Job:
    """The job after it: QUEUED, or SUBMITTED while its dependencies or its start time keep it.

    Under a key it is made once, even when its answer was lost before it could be stored. Without one, a second retry
    is refused. Raises NotFound; InvalidTransition for a job that has not ended, or completed, or whose dependencies can
    no longer be met; Invalid for what a submit would refuse; PreconditionFailed when it is not at `expected_seq`.
    """
    seen = await load(services, job_id)
    if _was_made(seen, key):
        return seen
    [verdict] = await verdicts_on(services, [seen])
    refuse_unless_retryable(seen, verdict)
    changed = await _changed(services, seen, changes)

    def decide(job: Job, stamp: Stamp) -> Change | None:
        if _was_made(job, key):
            return None
        if changed and job.terminal and job.seq != seen.seq:
            raise StaleJob(job.id)
        return decide_retry(job, stamp if key is None else replace(stamp, op=key.op), reason, verdict, changed)

    return await look_again(services, await control_job(services, job_id, decide, actor, expected_seq))


def _was_made(job: Job, key: IdempotencyKey | None) -> bool:
    return key is not None and any(entry.op == key.op for entry in job.history)


def decide_retry(
    job: Job, stamp: Stamp, reason: str | None, verdict: Verdict, changed: dict[str, Any] | None = None
) -> Change:
    """What a retry means for a job in this state, `verdict` being that of its parents. `changed`: what was checked."""
    refuse_unless_retryable(job, verdict)
    return retry_manually(job, stamp, reason, eligible=is_eligible(job, verdict, stamp.at), changed=changed)


def refuse_unless_retryable(job: Job, verdict: Verdict) -> None:
    """Raises InvalidTransition for a job that has not ended, has completed, or would fail for its parents at once."""
    if not job.terminal or job.status is JobStatus.COMPLETED:
        done = job.status is JobStatus.COMPLETED
        because = "it completed; submit a new job" if done else "only a job that has ended is retried"
        raise InvalidTransition(job.id, job.status, JobStatus.QUEUED, allowed_from(job.status), because)
    refuse_if_hopeless(job, verdict)


async def _changed(services: Services, job: Job, changes: RetryChanges) -> dict[str, Any]:
    """The attributes of the job that are to be different. Raises Invalid with every error and its path."""
    changed: dict[str, Any] = {}
    if changes.priority is not None:
        changed |= {"priority": changes.priority, "effective_priority": changes.priority}
        changed |= {"pin": job.pin if changes.priority is job.effective_priority else None}
    if changes.parameters or changes.resources:
        template = await template_of(services, job.template, job.template_version)
        asked = canonical_parameters(template, _without_masks(changes.parameters, job.secrets))
        secrets = await unseal(services, job)
        planned = await _planned(services, job, {**job.parameters, **secrets}, asked, changes.resources)
        if changes.parameters:
            changed |= {"parameters": planned.shown_parameters, "steps": planned.steps, "secrets": job.secrets}
            changed |= await _sealed_anew(services, job, secrets, planned)
        changed |= {"expected": planned.expected, "sizing": _resized(job, planned, changes)}
        if changes.resources:
            changed["resources"] = _laid_over(job.resources, planned.resources, changes.resources)
        paths = asked_paths({"parameters": asked, "resources": changes.resources})
        changed["asked"] = (*job.asked, Asked(job.seq + 1, paths))
    return changed


async def _planned(
    services: Services, job: Job, own: Mapping[str, Json], asked: Mapping[str, Json], resources: Mapping[str, float]
) -> Specification:
    """What a submit of the changed job would store. `own`: its parameters with the secrets in clear."""
    request = JobRequest(
        template=job.template,
        parameters=deep_merge(own, asked),
        name=job.name,
        resources={**job.resources.units(), **resources},
        executor=job.executor,
    )
    return await plan(services, request, job.template_version)


async def _sealed_anew(
    services: Services, job: Job, secrets: Mapping[str, str], planned: Specification
) -> dict[str, Any]:
    """Changed secrets are stored under an id of their own: until the change is made, the job names the old ones."""
    if planned.secret_values == secrets and (job.sealed is not None or not secrets):
        return {}
    stamp = services.stamp()
    sealed = Sealed(sealed_by(job.id, stamp.op), job.id, planned.secret_values, stamp.at)
    await services.secrets.put(sealed)
    return {"sealed": sealed.id}


def _resized(job: Job, planned: Specification, changes: RetryChanges) -> Sizing | None:
    """Why it has its resources: those that nobody asked to be different came from where they came from."""
    if planned.sizing is None or job.sizing is None or changes.resources:
        return planned.sizing
    return replace(planned.sizing, source=job.sizing.source)


def _laid_over(own: Vector, planned: Vector, asked: Mapping[str, float]) -> Vector:
    """The planned amounts in the dimensions that were asked for, the job's exact own in all others."""
    dimensions = zip(DIMENSIONS, own.parts(), planned.parts(), strict=True)
    return Vector(*(new if name in asked else old for name, old, new in dimensions))


def _without_masks(parameters: Mapping[str, Json], secrets: tuple[str, ...]) -> Mapping[str, Json]:
    """Without secrets that read as they are shown: what was read and sent back is no new value."""
    return {name: value for name, value in parameters.items() if name not in secrets or value != HIDDEN}
