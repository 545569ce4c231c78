"""What a step asks of its job, as a request; and what of it is known before the workflow runs.

Data is handed on without expressions: what a step does not name of `dataset_name`, `model` and `predictions`, though
its template knows it, it takes from the nearest step before it that produced one. What an output produced is told by
its form: `{job_id}/{artifact}` of that step's own job; the name of a data set that it only read is none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from app.domain.errors import FieldError, Invalid
from app.domain.expressions import embedded
from app.domain.json import Json, deep_merge
from app.domain.nearest import unknown_name
from app.domain.specification import DEFAULT_TENANT, JobRequest, SubmitPolicy, specify
from app.domain.templates import Template, canonical_parameters
from app.domain.workflows.definition import PinnedDefinition, StepDefinition
from app.domain.workflows.state import StepState

HANDED_ON: Mapping[str, str] = {"dataset_name": "dataset", "model": "model", "predictions": "predictions"}
"""Parameters that are taken from steps before, and the outputs that they are taken from."""
MAX_NAME = 63


def handed_on(template: Template, named: Mapping[str, Json]) -> tuple[str, ...]:
    """The parameters that this step takes from steps before it, where they have any."""
    given = canonical_parameters(template, named)
    return tuple(name for name in HANDED_ON if name in template.schema.by_name and given.get(name) is None)


def produced(outputs: Mapping[str, Json], job_id: str, parameter: str) -> str | None:
    """The reference to what a job produced for this parameter."""
    value = outputs.get(HANDED_ON[parameter])
    return value if isinstance(value, str) and value.startswith(f"{job_id}/") else None


def parameters_of(step: StepDefinition, state: StepState) -> dict[str, Json]:
    """As they were written, with those of a rerun laid over."""
    return deep_merge(step.parameters, state.parameters)


def request_of(
    pinned: PinnedDefinition, step: StepDefinition, parameters: Mapping[str, Json], item: int | None, tenant: str
) -> JobRequest:
    """What its job is asked with, parameters filled in."""
    return JobRequest(
        template=step.job_template,
        parameters=parameters,
        name=job_name(pinned.name, step.step_id, item),
        resources=step.resources,
        retry_policy=step.retry_policy,
        timeout=step.timeout,
        executor=step.executor,
        tenant=tenant,
        priority=pinned.definition.priority if step.priority is None else step.priority,
    )


def job_name(workflow: str, step_id: str, item: int | None) -> str:
    """`complete-ml-pipeline-model-training`, and `-7` for an item."""
    suffix = "" if item is None else f"-{item}"
    return f"{workflow}-{step_id}".replace("_", "-").strip("-")[: MAX_NAME - len(suffix)] + suffix


def step_request_errors(
    pinned: PinnedDefinition,
    step: StepDefinition,
    template: Template,
    parameters: Mapping[str, Json],
    policy: SubmitPolicy,
    apart: Collection[str] = (),
) -> list[FieldError]:
    """What a submit would refuse of a step with these parameters, but for what is not known yet. `apart`: those whose
    values stand apart."""
    known = {n: value for n, value in parameters.items() if n not in apart and not any(embedded(value))}
    try:
        canonical_parameters(template, parameters)
        later = set(canonical_parameters(template, dict.fromkeys(parameters.keys() - known.keys())))
        if unknown := sorted(later.difference(template.schema.by_name)):
            names = template.schema.names
            raise Invalid(FieldError(f"parameters.{u}", *unknown_name("parameter", u, names)) for u in unknown)
        if pinned.graph.parents[step.step_id]:
            later |= set(handed_on(template, known))
        specify(request_of(pinned, step, known, None, DEFAULT_TENANT), template, policy, later)
    except Invalid as invalid:
        return [replace(e, path="job_template") if e.path == "template" else e for e in invalid.errors]
    return []
