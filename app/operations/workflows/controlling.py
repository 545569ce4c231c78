"""What users do to a run of a workflow: each decides on it, writes that with all that follows, and carries it to the
jobs. All of it may be sent again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.domain.errors import Conflict, FieldError, Invalid, PreconditionFailed
from app.domain.expressions import embedded
from app.domain.json import Json, deep_merge, unsafe_places
from app.domain.transitions import Stamp
from app.domain.workflows import controls
from app.domain.workflows.asked import step_request_errors
from app.domain.workflows.bounds import MAX_HISTORY
from app.domain.workflows.changes import Draft
from app.domain.workflows.state import Workflow
from app.domain.workflows.validation import given_inputs
from app.operations.plan import policy_of, template_of
from app.operations.workflows.advancing import change_workflow
from app.operations.workflows.loading import Loaded, load
from app.operations.workflows.wishes import admit, carry_out
from app.services import Services

Decision = Callable[[Loaded, Stamp], Draft | None]


async def _change(
    services: Services, workflow_id: str, decide: Decision, actor: str, expected_seq: int | None
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


async def _wish(
    services: Services, workflow_id: str, decide: Decision, actor: str, expected_seq: int | None
) -> Workflow:
    """A change that is carried to the jobs, too."""
    await _change(services, workflow_id, decide, actor, expected_seq)
    return await carry_out(services, workflow_id)


async def start(
    services: Services, workflow_id: str, inputs: Mapping[str, Json], actor: str, expected_seq: int | None = None
) -> Workflow:
    """Raises NotFound, Conflict when it was started, Invalid for its inputs, PreconditionFailed."""

    def decide(now: Loaded, stamp: Stamp) -> Draft:
        filled, errors = given_inputs(now.pinned.definition, inputs)
        if errors:
            raise Invalid(errors)
        return controls.start(now.workflow, now.pinned, filled, stamp.at)

    return await _change(services, workflow_id, decide, actor, expected_seq)


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
    """The step and all below it are done anew. Raises Invalid for parameters that a definition could not have."""
    loaded = await load(services, workflow_id)
    if parameters and from_step in loaded.pinned.steps:
        await _check_parameters(services, loaded, from_step, parameters)
    return await _change(
        services,
        workflow_id,
        lambda now, _: controls.rerun(now.workflow, now.pinned, from_step, parameters, reason),
        actor,
        expected_seq,
    )


async def _check_parameters(services: Services, loaded: Loaded, step_id: str, parameters: Mapping[str, Json]) -> None:
    errors = list(unsafe_places(parameters, "parameters"))
    errors += [
        FieldError(path, "an expression cannot be given here; give a value")
        for path, _ in embedded(parameters, "parameters")
    ]
    if not errors:
        step = loaded.pinned.steps[step_id]
        template = await template_of(services, step.job_template, loaded.pinned.templates[step.job_template])
        laid_over = deep_merge(step.parameters, parameters)
        errors = step_request_errors(loaded.pinned, step, template, laid_over, await policy_of(services))
    if errors:
        raise Invalid(errors)


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
