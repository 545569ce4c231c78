"""Workflows as they are asked for and answered."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from app.api.schemas.base import Flag, Incoming, Number, Outgoing, Timestamp, Whole, given, open_enum
from app.api.schemas.controls import Reasoned
from app.api.schemas.job_requests import ResourceRequest, RetryPolicyRequest
from app.domain.job import DependencyType
from app.domain.json import Json
from app.domain.priority import Priority
from app.domain.workflows.definition import Approval, Definition, InputDefinition, StepDefinition
from app.domain.workflows.state import StepStatus, WorkflowStatus

STEP_STATES = ("SUBMITTED", "QUEUED", "SCHEDULED", "RUNNING", "PAUSED", "RETRYING")
StepState = Annotated[str, open_enum(*(s for s in StepStatus if s is not StepStatus.ACTIVE), *STEP_STATES)]


def _list_or_text(value: Any) -> Any:
    if value is not None and not isinstance(value, list | str):
        raise ValueError("must be a list, or an expression such as ${{ inputs.names }}")
    return value


FanOut = Annotated[Json, BeforeValidator(_list_or_text)]


class WorkflowInputCreate(Incoming):
    """A value that a run is given when it starts, known to expressions as `inputs.NAME`."""

    type: str = Field("string", description="string, integer, number, boolean, object, array or secret.", max_length=20)
    default: Json = Field(None, description="Without one it must be given. A secret has none.")


class ApprovalCreate(Incoming):
    """A person must agree before the step runs."""

    message: str = Field("", description="What is asked.")
    timeout: Number | None = Field(None, description="Seconds after which `default` is taken; without one it waits.")
    default: str = Field("reject", description="approve or reject.", max_length=20)

    def to_approval(self) -> Approval:
        """The domain's approval."""
        return Approval(self.message, self.timeout, self.default)


class WorkflowStepCreate(Incoming):
    """A step: a job of a template, when the steps before it allow it."""

    step_id: str = Field(description="a-z, 0-9 and _, the first a letter or _; unique in the workflow.", max_length=200)
    job_template: str = Field(description="Id of a template.", max_length=63)
    parameters: dict[str, Json] = Field(
        {},
        description="Its parameters; may hold `${{ expressions }}`. Data not named is taken from steps before. One of "
        "type secret is `${{ inputs.NAME }}`, NAME being an input of type secret.",
    )
    depends_on: list[str] = Field(default_factory=list, description="Steps that must end first.")
    dependency_type: DependencyType = DependencyType.ALL_COMPLETE
    when: str | None = Field(None, description="A CEL condition; false skips the step.")
    for_each: FanOut = Field(None, description="A list, or `${{ }}` that gives one: a job an item.")
    max_parallel: Whole | None = Field(None, description="Jobs of `for_each` at once.")
    retry_policy: RetryPolicyRequest | None = None
    resources: ResourceRequest | None = None
    priority: Priority | None = None
    timeout: Number | None = Field(None, description="Time limit of its job, in seconds.")
    executor: str | None = Field(None, max_length=63)
    approval: ApprovalCreate | None = None
    on_failure: str = Field("fail", description="fail, continue, or a step that runs only then.", max_length=200)
    cache: Flag = Field(False, description="Take over what the same work has put out before.")

    def to_step(self) -> StepDefinition:
        """The domain's step."""
        return StepDefinition(
            step_id=self.step_id,
            job_template=self.job_template,
            parameters=self.parameters,
            depends_on=tuple(self.depends_on),
            dependency_type=self.dependency_type,
            when=self.when,
            for_each=tuple(self.for_each) if isinstance(self.for_each, list) else self.for_each,
            max_parallel=self.max_parallel,
            retry_policy=given(self.retry_policy) if self.retry_policy else {},
            resources=given(self.resources) if self.resources else None,
            priority=self.priority,
            timeout=self.timeout,
            executor=self.executor,
            approval=None if self.approval is None else self.approval.to_approval(),
            on_failure=self.on_failure,
            cache=self.cache,
        )


class WorkflowDefinitionCreate(Incoming):
    """A workflow as it is defined."""

    workflow_name: str = Field(
        description="a-z, 0-9, _ and -, at most 63; definitions are kept under it.", max_length=200
    )
    description: str = Field("", max_length=5_000)
    inputs: dict[str, WorkflowInputCreate] = Field(default_factory=dict)
    priority: Priority = Field(Priority.NORMAL, description="Of its jobs, where a step says nothing.")
    steps: list[WorkflowStepCreate]

    def to_definition(self) -> Definition:
        """The domain's definition."""
        return Definition(
            name=self.workflow_name,
            steps=tuple(step.to_step() for step in self.steps),
            description=self.description,
            inputs={name: InputDefinition(each.type, each.default) for name, each in self.inputs.items()},
            priority=self.priority,
        )


class WorkflowCreate(WorkflowDefinitionCreate):
    """A workflow to be stored and run."""

    start: Flag = Field(True, description="false: store it, and start it later.")


class WorkflowStart(Incoming):
    """The inputs of the run. The body may be left out."""

    inputs: dict[str, Json] = Field(default_factory=dict, description="By name. Secrets are stored apart.")


class WorkflowRun(WorkflowStart):
    """A stored workflow to be run, at its newest version."""

    workflow_name: str = Field(max_length=63)


class WorkflowControl(Reasoned):
    """Why. The body may be left out."""


class WorkflowRerun(Reasoned):
    """From where it is run again, with what changed."""

    from_step: str = Field(max_length=63)
    parameters: dict[str, Json] = Field(
        {}, description="Laid over those of that step: objects merge, lists replace. Secrets are stored apart."
    )


class WorkflowItem(Outgoing):
    """An item of a `for_each`, in order."""

    item: int
    status: StepState
    job_id: str | None
    cached_from: str | None = Field(description="The job whose outputs it took over.")
    error: dict[str, Any] | None


class WorkflowApproval(Outgoing):
    """What a step waits for a person for."""

    message: str
    approve_by: Timestamp | None
    default: str


class WorkflowStep(Outgoing):
    """A step of a run. `status`: that of its job while it has one."""

    step_id: str
    status: StepState
    job_id: str | None
    outputs: Any = Field(description="What it has put out: an object, a list of them for a `for_each`, or null.")
    error: dict[str, Any] | None
    skipped_because: Annotated[
        str | None, open_enum("upstream_failed", "upstream_skipped", "condition_false", "no_failure")
    ]
    cached_from: str | None = Field(description="The job whose outputs it took over.")
    approval: WorkflowApproval | None
    run: int = Field(description="0, and one more for each retry or rerun of it.")
    item_counts: dict[str, int] | None = Field(description="Of a `for_each`: total, active, completed, unsuccessful.")
    items: list[WorkflowItem] | None = Field(description="The first 100; all of them are on `…/steps/{step_id}/items`.")


class WorkflowHistoryEntry(Outgoing):
    """A change of a workflow's state, or what a user did to it."""

    seq: int
    source: WorkflowStatus | None = Field(alias="from")
    to: WorkflowStatus
    reason: str
    at: Timestamp
    actor: str
    detail: str | None


class WorkflowSummary(Outgoing):
    """A run as it stands in a listing."""

    workflow_id: str
    workflow_name: str
    version: int
    tenant: str
    status: WorkflowStatus
    seq: int
    inputs: dict[str, Any] = Field(description="Defaults filled in; secrets read `***`.")
    counts: dict[str, int] = Field(description="Steps by state; ACTIVE ones have a job.")
    wish: str | None = Field(description="What was asked of its jobs and is not carried through yet.")
    schedule: str | None
    submitted_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None


class WorkflowItemResult(WorkflowItem):
    """An item of a `for_each` with what it has put out."""

    outputs: Any


class WorkflowItemList(Outgoing):
    """Items of a step, in order."""

    step_id: str
    item_counts: dict[str, int] | None
    items: list[WorkflowItemResult]
    next_cursor: str | None


class WorkflowStepList(Outgoing):
    """Steps of a run, in the order of the definition."""

    steps: list[WorkflowStep]
    next_cursor: str | None


class Workflow(WorkflowSummary):
    """A run. Of a very large one the first steps, as many as have 500 with their items."""

    description: str
    outputs: dict[str, Any] = Field(description="Of the last steps, by step.")
    steps: list[WorkflowStep]
    next_cursor: str | None = Field(description="Where `GET …/steps` goes on; null where all steps are here.")
    history: list[WorkflowHistoryEntry]


class WorkflowList(Outgoing):
    """Runs, newest first."""

    workflows: list[WorkflowSummary]
    next_cursor: str | None


class WorkflowValidated(Outgoing):
    """What would be stored."""

    valid: bool
    workflow_name: str
    steps: int
    order: list[str] = Field(description="Steps, each after those that it waits for.")
    templates: dict[str, int] = Field(description="Versions that would be pinned.")


class GraphNode(Outgoing):
    """A step to be drawn: in column `level`, at place `lane` of it."""

    step_id: str
    job_template: str
    status: StepState
    job_id: str | None
    dependency_type: DependencyType
    level: int
    lane: int
    condition: str | None
    items: dict[str, int] | None
    skipped_because: str | None
    awaits_approval: bool


class GraphEdge(Outgoing):
    """Who waits for whom."""

    source: str = Field(alias="from")
    to: str
    kind: str = Field(description="`dependency`, or `on_failure`.")


class GraphLayout(Outgoing):
    """How large the drawing is, in columns and places."""

    levels: int
    lanes: int


class WorkflowGraph(Outgoing):
    """A run as a graph."""

    workflow_id: str
    status: WorkflowStatus
    nodes: list[GraphNode]
    edges: list[GraphEdge]
    layout: GraphLayout
