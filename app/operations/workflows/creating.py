"""Make runs of workflows: of a definition that comes with the request, or of a stored one by its name.

A run is inserted as it is after its start, steps that begin included: one write. Under an idempotency key, and for a
schedule, its id is derived, so that it is made once whatever dies in between; who meets it goes on with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from app.domain.errors import FieldError, Invalid
from app.domain.ids import derived_workflow_id, new_workflow_id
from app.domain.json import Json
from app.domain.transitions import Stamp
from app.domain.workflows.changes import apply, change
from app.domain.workflows.controls import start as start_run
from app.domain.workflows.definition import Definition, PinnedDefinition
from app.domain.workflows.secrets import secret_inputs, split_inputs
from app.domain.workflows.state import StepStatus, Workflow, WorkflowEntry, WorkflowStatus, active_jobs
from app.domain.workflows.validation import given_inputs
from app.operations.once import IdempotencyKey
from app.operations.quotas import refuse_over_quota
from app.operations.workflows.advancing import advanced
from app.operations.workflows.defining import judged
from app.operations.workflows.loading import Loaded
from app.operations.workflows.secrets import drop_of_workflow, seal_values
from app.operations.workflows.stored import stored_definition
from app.operations.workflows.wishes import look_after
from app.services import Services


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose run it is, and what makes it one run: a key, a schedule and its moment, or nothing."""

    tenant: str
    actor: str
    workflow_id: str | None = None
    schedule: str | None = None

    @classmethod
    def of(cls, tenant: str, actor: str, key: IdempotencyKey | None) -> Origin:
        """Of a request."""
        return cls(tenant, actor, None if key is None else derived_workflow_id("key", key.key, key.body_digest))


async def create(services: Services, definition: Definition, size: int, origin: Origin, *, start: bool) -> Workflow:
    """Judge, store, and unless `start` is false run a definition. Raises Invalid, QuotaExceeded, Unavailable."""
    pinned = await judged(services, definition, size, origin.tenant)
    await refuse_over_quota(services, origin.tenant)
    inputs, errors = given_inputs(definition, {})
    if start and errors:
        remedy = "or store with start: false, and give it to POST …/start"
        raise Invalid([replace(e, message=f"{e.message}; {remedy}") for e in errors])
    stored = await services.definitions.define(definition, pinned.templates, services.clock.now())
    return await _insert(services, stored, inputs if start else None, origin)


async def run_stored(
    services: Services, name: str, given: Mapping[str, Json], origin: Origin, kept_secret: Iterable[str] = ()
) -> Workflow:
    """Run the newest version of a stored definition. `kept_secret`: inputs that were sealed until now. Raises NotFound
    with the nearest name, Invalid for its inputs."""
    pinned = await stored_definition(services, name)
    inputs, errors = given_inputs(pinned.definition, given)
    known, secret = pinned.definition.inputs, secret_inputs(pinned.definition)
    errors += [
        FieldError(f"inputs.{each}", f"was given as a secret, and is {known[each].type} now; give it anew")
        for each in kept_secret
        if each in known and each not in secret
    ]
    if errors:
        raise Invalid(errors)
    await refuse_over_quota(services, origin.tenant)
    return await _insert(services, pinned, inputs, origin)


async def _insert(
    services: Services, pinned: PinnedDefinition, inputs: Mapping[str, Json] | None, origin: Origin
) -> Workflow:
    """Insert it, started when it has inputs, and make its first jobs."""
    stamp = services.stamp(origin.actor)
    workflow = _new(pinned, origin, stamp)
    if inputs is not None:
        workflow = await _started(services, workflow, pinned, inputs, stamp)
    if not await services.workflows.insert(workflow):
        await drop_of_workflow(services, workflow.id, workflow.sealed)
        if await _is_past(services, workflow.id):
            return await _insert(services, pinned, inputs, replace(origin, workflow_id=None))
    if active_jobs(workflow):
        await look_after(services, workflow.id)
    found = await services.workflows.get(workflow.id)
    return found or workflow


async def _started(
    services: Services, workflow: Workflow, pinned: PinnedDefinition, inputs: Mapping[str, Json], stamp: Stamp
) -> Workflow:
    """The workflow as it is once it is started, its secrets sealed."""
    shown, secrets = split_inputs(pinned.definition, inputs)
    sealed = await seal_values(services, workflow.id, secrets, stamp)
    draft = start_run(workflow, pinned, shown, stamp.at, sealed)
    made = change(workflow, draft, await advanced(services, Loaded(workflow, pinned), draft, stamp), stamp)
    assert made is not None  # noqa: S101 - a start is always a change
    return apply(workflow, made)


async def _is_past(services: Services, workflow_id: str) -> bool:
    """Whether this id belongs to a request of long ago, whose key is free again."""
    found = await services.workflows.get(workflow_id)
    oldest = services.clock.now() - services.settings.retention.answers
    return found is not None and found.schedule is None and found.submitted_at < oldest


def _new(pinned: PinnedDefinition, origin: Origin, stamp: Stamp) -> Workflow:
    entry = WorkflowEntry(1, None, WorkflowStatus.PENDING, "submitted", stamp.at, stamp.actor, origin.schedule)
    return Workflow(
        id=origin.workflow_id or new_workflow_id(stamp.at, os.urandom(10)),
        name=pinned.name,
        version=pinned.version,
        tenant=origin.tenant,
        status=WorkflowStatus.PENDING,
        seq=1,
        submitted_at=stamp.at,
        counts={StepStatus.PENDING.value: len(pinned.steps)},
        history=(entry,),
        schedule=origin.schedule,
    )


def scheduled(tenant: str, schedule: str, workflow_id: str) -> Origin:
    """The origin of a run that a schedule makes."""
    return Origin(tenant, "schedule", workflow_id, schedule)
