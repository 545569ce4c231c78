"""From a request and a template to a specification: everything resolved and checked before anything is stored.

Pure: what nodes exist is an argument. All errors of a request come at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from app.domain.durations import Duration
from app.domain.errors import MOST_ERRORS, FieldError, Invalid
from app.domain.ids import is_object_id
from app.domain.job import DependencyType
from app.domain.json import Json, unsafe_places
from app.domain.naming import semantic_name
from app.domain.nodes import matches
from app.domain.priority import Priority
from app.domain.request_checks import MAX_NAME, is_name, label_errors, limit_errors, retry_errors, seconds_errors
from app.domain.resources import Vector, largest_misfit, request_errors
from app.domain.retry import RetryPolicy
from app.domain.secrets import masked_errors, without_secrets
from app.domain.sizing.evidence import Sizing
from app.domain.sizing.kinship import Kinship, name_in
from app.domain.step_checks import COMMAND, executor_errors, read_by_steps, step_errors, unknown_steps
from app.domain.templates import Step, Template, canonical_parameters, resolve_parameters

MAX_TAGS, MAX_DEPENDENCIES = 50, 1_000
DEFAULT_TENANT = "default"
SIZED = ("cpu_cores", "memory_gb")
"""Dimensions that the service chooses where the request names no resources."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A submit as it was asked. Durations in seconds; None and empty mean: not said."""

    template: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    name: str | None = None
    priority: Priority = Priority.NORMAL
    resources: Mapping[str, float] | None = None
    dependencies: tuple[str, ...] = ()
    dependency_type: DependencyType = DependencyType.ALL_COMPLETE
    retry_policy: Mapping[str, Json] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    timeout: float | None = None
    start_after: datetime | None = None
    queue_deadline: float | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    preemptible: bool = False
    executor: str | None = None
    limits: tuple[str, ...] = ()
    prefer: Mapping[str, str] = field(default_factory=dict)
    tenant: str = DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class SubmitPolicy:
    """What the service's settings and its nodes add. `capacities`, `labels`: of every node that ever registered or may
    be created; `torch`: one of them has it, or none ever registered; `limits`: the names of all concurrency limits,
    None where they are not known, and none is refused; `functions`: steps that nodes offer, likewise."""

    job_timeout: timedelta
    retry_attempts: int
    capacities: tuple[Vector, ...] = ()
    torch: bool = True
    limits: Collection[str] | None = ()
    labels: tuple[Mapping[str, str], ...] = ()
    functions: Collection[str] | None = None

    def open_to(self, selector: Mapping[str, str]) -> tuple[Vector, ...]:
        """Capacities of the nodes that carry these labels; of all where none does."""
        if not selector:
            return self.capacities
        labelled = zip(self.capacities, self.labels, strict=False)
        return tuple(capacity for capacity, own in labelled if matches(own, selector)) or self.capacities


@dataclass(frozen=True, slots=True)
class Specification:
    """A request with its template resolved; lacks only id, name suffix and the state that its dependencies give.
    `asked`: the request's parameters under their own names; these and `parameters` hold secrets in clear; `expected`:
    what a run should take; `sizing`: why it gets these resources; both once it is sized."""

    request: JobRequest
    template: Template
    parameters: Mapping[str, Json]
    asked: Mapping[str, Json]
    resources: Vector
    executor: str
    steps: tuple[Step, ...]
    retry_policy: RetryPolicy
    timeout: float
    expected: Duration | None = None
    sizing: Sizing | None = None

    @property
    def base_name(self) -> str:
        """The name before it is numbered: the user's, else what it is."""
        return self.request.name or _name(self.template, self.parameters, self.asked)

    @property
    def named_by_user(self) -> bool:
        return self.request.name is not None

    @property
    def shown_parameters(self) -> Mapping[str, Json]:
        """The parameters as they are stored with the job, and shown."""
        return without_secrets(self.parameters, self.template.schema.secrets)

    @property
    def secret_values(self) -> dict[str, str]:
        """What is stored apart."""
        names = self.template.schema.secrets
        return {name: self.parameters[name] for name in names if self.parameters.get(name) is not None}

    @property
    def limits(self) -> tuple[str, ...]:
        """The named limits that it takes a place in: the request's, else the template's."""
        return self.request.limits or self.template.limits

    @property
    def kin(self) -> Kinship:
        """By what a run of it is like others."""
        shown = self.shown_parameters
        algorithm, dataset = name_in(shown, "algorithm"), name_in(shown, "dataset_name")
        return Kinship(self.request.tenant, self.template.id, algorithm, dataset)


def specify(
    request: JobRequest, template: Template, policy: SubmitPolicy, later: Collection[str] = ()
) -> Specification:
    """Resolve and check a request. Raises Invalid with every error and its path. `later`: parameters whose values come
    when the job is made, as those of a workflow's step may."""
    errors = list(islice(_request_errors(request), MOST_ERRORS))
    parameters: dict[str, Json] = {}
    asked: dict[str, Json] = {}
    try:
        parameters = resolve_parameters(template, request.parameters, later)
        asked = canonical_parameters(template, request.parameters)
        errors.extend(masked_errors(asked, template.schema.secrets))
        errors.extend(islice(step_errors(template, parameters, later), MOST_ERRORS))
        errors.extend(_node_errors(template, parameters, policy))
    except Invalid as invalid:
        errors.extend(invalid.errors)
    resources, resource_errors = _resources(request, template, policy)
    errors.extend(resource_errors)
    executor = request.executor or template.executor
    errors.extend(executor_errors(executor, template))
    if policy.limits is not None:
        errors.extend(islice(limit_errors(request.limits, policy.limits), MOST_ERRORS))
    if errors:
        raise Invalid(errors)
    return Specification(
        request=request,
        template=template,
        parameters=parameters,
        asked=asked,
        resources=resources,
        executor=executor,
        steps=_steps(template, parameters, policy),
        retry_policy=_retry_policy(request, template, policy),
        timeout=_timeout(request, template, policy),
    )


def _name(template: Template, parameters: Mapping[str, Json], asked: Mapping[str, Json]) -> str:
    return semantic_name(template.id, telling(template, parameters), telling(template, asked))


def telling(template: Template, parameters: Mapping[str, Json]) -> Mapping[str, Json]:
    """The parameters that a name may tell: no secrets."""
    hidden = template.schema.secrets
    return {k: v for k, v in parameters.items() if k not in hidden} if hidden else parameters


def _node_errors(template: Template, parameters: Mapping[str, Json], policy: SubmitPolicy) -> Iterator[FieldError]:
    """What no node here could run."""
    for _, message, near in unknown_steps(template.execution_steps, policy.functions):
        yield FieldError("template", message, near)
    if policy.torch or parameters.get("algorithm") != "cnn":
        return
    if "algorithm" in read_by_steps(template):
        yield FieldError("parameters.algorithm", "cnn needs torch, which no node has; install it on one, or take dnn")


def _request_errors(request: JobRequest) -> Iterator[FieldError]:
    if request.name is not None and not is_name(request.name):
        yield FieldError("name", f"must be 1 to {MAX_NAME} characters without control characters")
    yield from unsafe_places(request.parameters, "parameters")
    yield from unsafe_places(request.metadata, "metadata")
    yield from seconds_errors(request.timeout, "timeout")
    yield from seconds_errors(request.queue_deadline, "queue_deadline")
    if request.start_after is not None and request.start_after.tzinfo is None:
        yield FieldError("start_after", "must carry a time zone, such as 2026-01-01T12:00:00Z")
    if len(request.dependencies) > MAX_DEPENDENCIES:
        yield FieldError("dependencies", f"at most {MAX_DEPENDENCIES:,}")
    for n, parent in enumerate(request.dependencies):
        if not is_object_id(parent):
            yield FieldError(f"dependencies[{n}]", "not a job id: ids hold only a-z, 0-9 and _")
    if len(request.tags) > MAX_TAGS or any(not is_name(t) for t in request.tags):
        yield FieldError("tags", f"at most {MAX_TAGS}, each 1 to {MAX_NAME} characters without control characters")
    yield from label_errors("node_selector", request.node_selector)
    yield from label_errors("prefer", request.prefer)
    yield from retry_errors(request.retry_policy)


def _resources(request: JobRequest, template: Template, policy: SubmitPolicy) -> tuple[Vector, list[FieldError]]:
    """The exact vector: the request over the template; more than the largest node has is refused. Without a request
    memory and cores are the sizing's to fit."""
    asked, vector = template.resource_requirements, template.requirement
    errors: list[FieldError] = []
    if request.resources:
        asked = {**asked, **request.resources}
        if errors := request_errors(asked):
            return Vector(), errors
        vector = Vector.from_units(asked)
    misfit = largest_misfit(vector, policy.capacities) or {}
    for dimension, limit in misfit.items():
        if not request.resources and dimension in SIZED:
            continue
        message = f"{asked[dimension]:g} is more than the largest node has ({limit:g}); ask for at most that"
        errors.append(FieldError(f"resources.{dimension}", message))
    return vector, errors


def _steps(template: Template, parameters: Mapping[str, Json], policy: SubmitPolicy) -> tuple[Step, ...]:
    """The steps to run, every timeout filled in; the `command` template takes its command from its parameters."""
    fallback = policy.job_timeout.total_seconds()
    out = []
    for step in template.execution_steps:
        command, env = step.command, dict(step.env)
        if step.step == COMMAND and command is None:
            command = tuple(parameters.get("command") or ())
            env = dict(parameters.get("env") or {})
        out.append(Step(step.step, step.timeout or fallback, command, env))
    return tuple(out)


def _retry_policy(request: JobRequest, template: Template, policy: SubmitPolicy) -> RetryPolicy:
    """The request over the template over the settings. A delay without a backoff keeps the default backoff."""
    said = {**template.retry_policy, **{k: v for k, v in request.retry_policy.items() if v is not None}}
    if "retry_on" in said:
        said["retry_on"] = tuple(said["retry_on"])
    return RetryPolicy(**{"max_attempts": policy.retry_attempts, **said})


def _timeout(request: JobRequest, template: Template, policy: SubmitPolicy) -> float:
    """Over all steps, in seconds: the request's, else the template's, else JOB_TIMEOUT."""
    return request.timeout or template.timeout or policy.job_timeout.total_seconds()
