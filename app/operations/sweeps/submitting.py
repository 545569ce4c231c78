"""Submit a sweep: check its space, plan one trial, store the batch, then ask the first trials. Answered means: durable.

The first trials are asked here for a moment; whoever drives sweeps goes on, and makes the same of a sweep that nobody
began.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.domain.batch_requests import BatchRequest, batch_errors
from app.domain.batches import Batch, ExecutionMode, member_id, new_batch_id
from app.domain.errors import FieldError, Invalid
from app.domain.naming import suffixed
from app.domain.new_batch import build_batch
from app.domain.secrets import Sealed
from app.domain.specification import JobRequest
from app.domain.sweeps.asked import PATH, SweepRequest
from app.domain.sweeps.definition import Definition
from app.domain.transitions import Stamp
from app.operations.callbacks import callback_errors
from app.operations.hints import hinted
from app.operations.once import Answer, IdempotencyKey, replay
from app.operations.parents import places_of, refuse_unknown, verdict_on_new
from app.operations.quotas import refuse_over_quota
from app.operations.sweeps.driving import drive
from app.operations.sweeps.planning import PlannedSweep, plan_sweep
from app.operations.sweeps.searching import Search
from app.services import Services


@dataclass(frozen=True, slots=True)
class SweepSubmitted:
    """A sweep that was accepted, as it was stored."""

    batch: Batch
    definition: Definition

    @property
    def job_ids(self) -> list[str]:
        """Of the trials that are asked at once."""
        sweep = self.definition.sweep
        return [member_id(self.batch.id, n) for n in range(min(sweep.max_parallel, sweep.max_trials))]


async def submit_sweep(
    services: Services,
    around: BatchRequest,
    asked: SweepRequest,
    actor: str,
    render: Callable[[SweepSubmitted], bytes],
    key: IdempotencyKey | None = None,
) -> Answer:
    """`around`: what was said of the batch, without jobs. Raises Invalid with the place of each fault, QuotaExceeded
    and Unavailable; then nothing is stored."""
    if key is not None and (earlier := await services.batches.answer_under(key.key)) is not None:
        return replay(earlier, key)
    planned = await preview_sweep(services, around, asked)
    submitted = SweepSubmitted(await _batch(services, around, planned, services.stamp(actor)), planned.definition)
    batch, answer = submitted.batch, Answer(201, render(submitted))
    stored = None if key is None else key.remembered(answer, batch.submitted_at)
    if planned.secrets:
        await services.secrets.put(sealed_for(batch, planned.secrets))
    taken = await services.batches.insert(batch, [], stored)
    if taken is not None and key is not None:
        await hinted("drop_sealed", services.secrets.delete([batch.id]))
        return replay(taken, key)
    await hinted("first_trials", drive(services, Search.of(batch)))
    return answer


async def preview_sweep(services: Services, around: BatchRequest, asked: SweepRequest) -> PlannedSweep:
    """Everything that a submit does before it writes. Raises as a submit does."""
    if errors := [*_errors(around), *callback_errors(services, around.callback_url)]:
        raise Invalid(errors)
    planned = await plan_sweep(services, asked)
    await _refuse_hopeless(services, asked.request)
    await refuse_over_quota(services, asked.request.tenant)
    return planned


def sealed_for(batch: Batch, secrets: Mapping[str, str]) -> Sealed:
    """Those of all its trials; they go with the first."""
    return Sealed(batch.id, member_id(batch.id, 0), secrets, batch.submitted_at)


def _errors(around: BatchRequest) -> list[FieldError]:
    errors = [error for error in batch_errors(around) if error.path not in {"jobs", "max_parallel"}]
    if around.mode is ExecutionMode.SEQUENTIAL:
        errors.append(FieldError("execution_mode", "a sweep asks its trials by itself; give max_parallel 1 in it"))
    if around.max_parallel is not None:
        errors.append(FieldError("max_parallel", "belongs into the sweep: sweep.max_parallel"))
    return errors


async def _refuse_hopeless(services: Services, request: JobRequest) -> None:
    """Raises Invalid for parents that are not there, or have ended so that no trial could ever run."""
    named = request.dependencies
    if named:
        parents = await services.jobs.get_many(named)
        places = places_of(f"{PATH}.dependencies", named)
        refuse_unknown(places, parents)
        verdict_on_new(request.dependency_type, named, parents, places, f"{PATH}.dependency_type")


async def _batch(services: Services, around: BatchRequest, planned: PlannedSweep, stamp: Stamp) -> Batch:
    definition, template = planned.definition, planned.trial.template.id
    base = f"{template.replace('_', '-')}-sweep"
    return build_batch(
        around,
        batch_id=new_batch_id(stamp.at, os.urandom(7)),
        name=around.name or suffixed(base, await services.names.claim(base)),
        size=definition.sweep.max_trials,
        template=template,
        max_parallel=definition.sweep.max_parallel,
        stamp=stamp,
        sweep=definition.to_json(),
    )
