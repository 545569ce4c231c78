"""What a workflow is defined as. A definition is stored under its name and a version, and never changes after that.

A step names a job template, and what else its job is asked with. Values may hold expressions (`app.domain.expressions`)
over `inputs.NAME`, `steps.ID.outputs` and `steps.ID.status` of steps before it, and `item`, `index` of its `for_each`.
Inputs of type `secret` are handed over instead (`app.domain.workflows.secrets`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from app.domain.job import DependencyType
from app.domain.json import Json
from app.domain.priority import Priority
from app.domain.workflows.graph import Graph

FAIL, CONTINUE = "fail", "continue"
SECRET = "secret"  # noqa: S105 - the name of a type
EXPRESSION_TYPES: Mapping[str, str] = {
    "string": "string", "integer": "int", "number": "double", "boolean": "bool", "object": "map", "array": "list",
}  # fmt: skip
"""Types of inputs that expressions may speak of, and what they are to them."""
INPUT_TYPES = (*EXPRESSION_TYPES, SECRET)


@dataclass(frozen=True, slots=True)
class InputDefinition:
    """A value that a run is given when it starts. Without a default it must be given; a secret has none."""

    type: str = "string"
    default: Json = None


@dataclass(frozen=True, slots=True)
class Approval:
    """A person must agree before the step runs. After `timeout` seconds `default` is taken: approve or reject."""

    message: str = ""
    timeout: float | None = None
    default: str = "reject"


@dataclass(frozen=True, slots=True)
class StepDefinition:
    """A step as it was written. `for_each`: a list, or an expression that gives one. Seconds where time is meant.

    `on_failure`: `fail` (the workflow fails), `continue` (it is not held against it), or a step that runs only then.
    """

    step_id: str
    job_template: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    dependency_type: DependencyType = DependencyType.ALL_COMPLETE
    when: str | None = None
    for_each: tuple[Json, ...] | str | None = None
    max_parallel: int | None = None
    retry_policy: Mapping[str, Json] = field(default_factory=dict)
    resources: Mapping[str, float] | None = None
    priority: Priority | None = None
    timeout: float | None = None
    executor: str | None = None
    approval: Approval | None = None
    on_failure: str = FAIL
    cache: bool = False

    @property
    def handler(self) -> str | None:
        """The step that runs only when this one fails."""
        return None if self.on_failure in (FAIL, CONTINUE) else self.on_failure

    @property
    def asks_before(self) -> bool:
        """Whether something must be evaluated to know if, and how often, it runs."""
        return self.when is not None or isinstance(self.for_each, str)


@dataclass(frozen=True, slots=True)
class Definition:
    """A whole workflow as it was written."""

    name: str
    steps: tuple[StepDefinition, ...]
    description: str = ""
    inputs: Mapping[str, InputDefinition] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True)
class PinnedDefinition:
    """A definition at its version, with the version of each template that its steps name."""

    definition: Definition
    version: int
    templates: Mapping[str, int]
    created_at: datetime

    @property
    def name(self) -> str:
        return self.definition.name

    @cached_property
    def graph(self) -> Graph:
        """The steps as a graph. Made once: a definition never changes."""
        return graph_of(self.definition)

    @cached_property
    def steps(self) -> Mapping[str, StepDefinition]:
        """By id."""
        return {step.step_id: step for step in self.definition.steps}


def graph_of(definition: Definition) -> Graph:
    """The graph of a definition. A step that `on_failure` names waits for a failure of those that name it. Raises
    Cycle."""
    handled: dict[str, list[str]] = {}
    for step in definition.steps:
        if step.handler is not None:
            handled.setdefault(step.handler, []).append(step.step_id)
    parents: dict[str, tuple[str, ...]] = {}
    types: dict[str, DependencyType] = {}
    for step in definition.steps:
        sources = handled.get(step.step_id)
        parents[step.step_id] = tuple(sources) if sources else step.depends_on
        types[step.step_id] = DependencyType.ANY_FAILED if sources else step.dependency_type
    return Graph.of(parents, types)
