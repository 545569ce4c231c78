"""What users do to a run of a workflow: each decides on it, writes that with all that follows, and carries it to the
jobs. What is wanted already may be wanted again; what was started, or runs again, is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.domain.errors import Conflict, FieldError, Invalid, PreconditionFailed, TensorFleetError, Unavailable
from app.domain.expressions import embedded
from app.domain.json import Json, deep_merge, unsafe_places
from app.domain.transitions import Stamp
from app.domain.workflows import controls
from app.domain.workflows.asked import parameters_of, step_request_errors
from app.domain.workflows.bounds import MAX_HISTORY
from app.domain.workflows.changes import Draft
from app.domain.workflows.secrets import given_secrets, split_inputs, split_parameters
from app.domain.workflows.state import Workflow
from app.domain.workflows.validation import given_inputs
from app.operations.plan import policy_of, template_of
from app.operations.workflows.advancing import Decide, change_workflow
from app.operations.workflows.loading import Loaded, load
from app.operations.workflows.secrets import drop_of_workflow, seal_values, values_of
from app.operations.workflows.wishes import admit, carry_out
from app.services import Services


async def _change(
    services: Services, workflow_id: str, decide: Decide, actor: str, expected_seq: int | None
) -> Workflow:
    def on_version(now: Loaded, stamp: Stamp) -> Draft | None:
        if expected_seq is not None and now.workflow.seq != expected_seq:
            raise PreconditionFailed(str(now.workflow.seq), str(expected_seq))
        if len(now.workflow.history) >= MAX_HISTORY:
            message = f"Workflow {workflow_id} has been changed {MAX_HISTORY:,} times; run its definition again."
            raise Conflict(message, code="history_full")
        return decide(now, stamp)

    workflow, made = await change_workflow(services, workflow_id, on_version, actor)
    await admit(services, made)
    return workflow


async def _wish(services: Services, workflow_id: str, decide: Decide, actor: str, expected_seq: int | None) -> Workflow:
    """A change that is carried to the jobs, too."""
    await _change(services, workflow_id, decide, actor, expected_seq)
    return await carry_out(services, workflow_id)


async def _seal_and_change(
    services: Services,
    workflow_id: str,
    values: Mapping[str, str],
    decide: Callable[[Loaded, Stamp, str | None], Draft],
    actor: str,
    expected_seq: int | None,
) -> Workflow:
    """A change that names where these values stand. They are dropped when it is refused; when nobody knows whether it
    was made, they stay."""
    sealed = await seal_values(services, workflow_id, values, services.stamp(actor))
    try:
        return await _change(services, workflow_id, lambda now, at: decide(now, at, sealed), actor, expected_seq)
    except Unavailable:
        raise
    except TensorFleetError:
        await drop_of_workflow(services, workflow_id, sealed)
        raise


async def start(
    services: Services, workflow_id: str, inputs: Mapping[str, Json], actor: str, expected_seq: int | None = None
) -> Workflow:
    """Raises NotFound, Conflict when it was started, Invalid for its inputs, PreconditionFailed."""
    definition = (await load(services, workflow_id)).pinned.definition
    filled, errors = given_inputs(definition, inputs)
    if errors:
        raise Invalid(errors)
    shown, secrets = split_inputs(definition, filled)

    def decide(now: Loaded, stamp: Stamp, sealed: str | None) -> Draft:
        return controls.start(now.workflow, now.pinned, shown, stamp.at, sealed)

    return await _seal_and_change(services, workflow_id, secrets, decide, actor, expected_seq)


async def cancel(
    services: Services, workflow_id: str, reason: str | None, actor: str, expected_seq: int | None = None
) -> Workflow:
    """No step begins any more, active jobs are cancelled; CANCELLED when the last has ended."""
    return await _wish(
        services, workflow_id, lambda now, _: controls.cancel(now.workflow, now.pinned, reason), actor, expected_seq
    )


async def pause(
    services: Services, workflow_id: str, reason: str | None, actor: str, expected_seq: int | None = None
) -> Workflow:
    """No step begins, active jobs are paused."""
    return await _wish(services, workflow_id, lambda now, _: controls.pause(now.workflow, reason), actor, expected_seq)


async def resume(
    services: Services, workflow_id: str, reason: str | None, actor: str, expected_seq: int | None = None
) -> Workflow:
    """What was paused with it goes on, what became ready begins."""
    return await _wish(
        services, workflow_id, lambda now, _: controls.resume(now.workflow, now.pinned, reason), actor, expected_seq
    )


async def retry(
    services: Services, workflow_id: str, reason: str | None, actor: str, expected_seq: int | None = None
) -> Workflow:
    """What ended without success is done anew; what completed is not."""
    return await _change(
        services, workflow_id, lambda now, _: controls.retry(now.workflow, now.pinned, reason), actor, expected_seq
    )


async def rerun(
    services: Services,
    workflow_id: str,
    from_step: str,
    parameters: Mapping[str, Json],
    reason: str | None,
    actor: str,
    expected_seq: int | None = None,
) -> Workflow:
    """The step and all below it are done anew. Raises Invalid for parameters that a definition could not have; those
    that are secret may be given here."""
    loaded = await load(services, workflow_id)
    shown, secrets = parameters, dict[str, str]()
    if parameters and from_step in loaded.pinned.steps:
        shown, secrets = await _checked_parameters(services, loaded, from_step, parameters)
    if secrets:
        secrets = {**await values_of(services, loaded.workflow.sealed), **secrets}

    def decide(now: Loaded, _: Stamp, sealed: str | None) -> Draft:
        if sealed is not None and now.workflow.sealed != loaded.workflow.sealed:
            message = f"The secrets of workflow {workflow_id} have just been changed; try again."
            raise Conflict(message, code="stale_job")
        return controls.rerun(now.workflow, now.pinned, from_step, shown, reason, sealed)

    return await _seal_and_change(services, workflow_id, secrets, decide, actor, expected_seq)


async def _checked_parameters(
    services: Services, loaded: Loaded, step_id: str, parameters: Mapping[str, Json]
) -> tuple[Mapping[str, Json], dict[str, str]]:
    """As they are kept with the run, and what is to be sealed."""
    step = loaded.pinned.steps[step_id]
    template = await template_of(services, step.job_template, loaded.pinned.templates[step.job_template])
    errors = list(unsafe_places(parameters, "parameters"))
    errors += [
        FieldError(path, "an expression cannot be given here; give a value")
        for path, _ in embedded(parameters, "parameters")
    ]
    if not errors:
        laid_over = deep_merge(parameters_of(step, loaded.workflow.step(step_id)), parameters)
        apart = given_secrets(template, laid_over) - parameters.keys()
        errors = step_request_errors(loaded.pinned, step, template, laid_over, await policy_of(services), apart)
    if errors:
        raise Invalid(errors)
    return split_parameters(template, step_id, parameters)


async def answer_approval(
    services: Services,
    workflow_id: str,
    step_id: str,
    reason: str | None,
    actor: str,
    expected_seq: int | None = None,
    *,
    approved: bool,
) -> Workflow:
    """The step begins, or ends REJECTED."""
    return await _change(
        services,
        workflow_id,
        lambda now, _: controls.answer(now.workflow, now.pinned, step_id, reason, approved=approved),
        actor,
        expected_seq,
    )
