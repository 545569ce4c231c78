"""Jobs as they are submitted and answered."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from app.api.schemas.base import Flag, Incoming, Moment, Number, Outgoing, Timestamp, Whole, given, open_enum, refuse
from app.domain.job import DependencyType
from app.domain.json import Json
from app.domain.priority import Priority
from app.domain.specification import JobRequest
from app.domain.states import EDGES, FAILURES, STATE_KEEPING, JobStatus

REASONS = tuple(dict.fromkeys([*(edge.reason for edge in EDGES), *sorted(STATE_KEEPING)]))
WAIT_CODES = (
    "dependencies", "start_time", "resources", "node_selector", "concurrency_limit", "behind_reservation", "held",
    "queue_paused", "fair_share", "quota", "retry_delay", "no_workers", "unsatisfiable", "position",
)  # fmt: skip


class Backoff(StrEnum):
    """How the delay between attempts grows."""

    FIXED = "fixed"
    EXPONENTIAL = "exponential"


class ResourceRequest(Incoming):
    """What a job needs on one node. What is left out comes from the template."""

    cpu_cores: Number | None = Field(None, description="Cores; fractions are allowed.")
    memory_gb: Number | None = Field(None, description="Memory in GB (1,024 MiB); fractions are allowed.")
    gpu_count: Number | None = Field(None, description="Whole GPUs.")
    storage_gb: Number | None = Field(None, description="Storage in whole GB.")


class RetryPolicyRequest(Incoming):
    """When a failed run is followed by another. What is left out comes from the template, then from the settings."""

    max_attempts: Whole | None = Field(None, description="All attempts, the first included.")
    retry_delay: Number | None = Field(None, description="Seconds before the second attempt.")
    backoff: Backoff | None = None
    max_delay: Number | None = Field(None, description="Longest delay in seconds.")
    jitter: Number | None = Field(None, description="Share by which a delay is spread, 0 to 1.")
    retry_on: list[str] | None = Field(None, description="Any of error, timeout, worker_lost, out_of_memory.")


def _kind(value: Any) -> str:
    return "auto" if isinstance(value, str) else "vector"


ResourceChoice = Annotated[
    Annotated[ResourceRequest, Tag("vector")] | Annotated[Literal["auto"], Tag("auto")], Discriminator(_kind)
]


class JobCreate(Incoming):
    """A job to run. Only `template` is required, and what the template itself requires."""

    template: str = Field(description="Id of a template; GET /api/v1/templates lists them.", max_length=63)
    parameters: dict[str, Json] = Field(
        {}, description="Values for the template's parameters; unknown names are refused."
    )
    name: str | None = Field(None, description="A name; without one the job is named after what it does.")
    priority: Priority = Priority.NORMAL
    resources: ResourceChoice = Field("auto", description="What it needs on one node, or `auto`: the template's.")
    dependencies: list[str] = Field(default_factory=list, description="Ids of jobs that must end first.")
    dependency_type: DependencyType = DependencyType.ALL_COMPLETE
    retry_policy: RetryPolicyRequest | None = None
    tags: list[str] = Field(default_factory=list)
    metadata: dict[str, Json] = Field(default_factory=dict, description="Kept and answered, never read by the service.")
    timeout: Number | None = Field(None, description="Time limit over all steps, in seconds.")
    start_after: Moment | None = Field(None, description="Not before this moment.")
    queue_deadline: Number | None = Field(None, description="Seconds after submission within which it must start.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that the node must carry.")
    preemptible: Flag = Field(False, description="May be stopped for more urgent work.")
    executor: str | None = Field(None, description="`process`, or `inline` for light steps; the template's by default.")
    limits: list[str] = Field(default_factory=list, description="Named concurrency limits that it takes a place in.")

    def to_request(self) -> JobRequest:
        """The domain's request. Raises Invalid with code `not_yet` for dependency types that do not act yet."""
        if self.dependency_type is not DependencyType.ALL_COMPLETE:
            raise refuse("dependency_type", "only all_complete is offered by this version", "not_yet")
        return JobRequest(
            template=self.template,
            parameters=self.parameters,
            name=self.name,
            priority=self.priority,
            resources=None if isinstance(self.resources, str) else given(self.resources),
            dependencies=tuple(dict.fromkeys(self.dependencies)),
            dependency_type=self.dependency_type,
            retry_policy=given(self.retry_policy) if self.retry_policy else {},
            tags=tuple(self.tags),
            metadata=self.metadata,
            timeout=self.timeout,
            start_after=self.start_after,
            queue_deadline=self.queue_deadline,
            node_selector=self.node_selector,
            preemptible=self.preemptible,
            executor=self.executor,
            limits=tuple(self.limits),
        )


class JobCancel(Incoming):
    """Why a job is cancelled. The body may be left out."""

    reason: str | None = Field(None, max_length=500)


class JobSort(StrEnum):
    """The order of a listing by submission time."""

    NEWEST_FIRST = "-submitted_at"
    OLDEST_FIRST = "submitted_at"


class Resources(Outgoing):
    """An amount of each resource, in units people use."""

    cpu_cores: float
    memory_gb: float
    gpu_count: float
    storage_gb: float


class RetryPolicy(Outgoing):
    """The retry policy in force. Delays in seconds."""

    max_attempts: int
    retry_delay: float
    backoff: Backoff
    max_delay: float
    jitter: float
    retry_on: list[Annotated[str, open_enum(*FAILURES)]]


class JobSubmitted(Outgoing):
    """An accepted job: it is stored, and will reach a terminal state or wait with a stated reason."""

    job_id: str
    status: JobStatus
    message: str
    estimated_start_time: Timestamp | None
    queue_position: int | None = Field(description="1 is next in the whole order; null when it is not in the queue.")
    name: str


class PlannedStep(Outgoing):
    """A step that would run, with its time limit in seconds."""

    step: str
    timeout: float | None


class JobPlan(Outgoing):
    """What a submit would store, and when it would start. Nothing was stored."""

    name: str = Field(description="Its name; a repeated one gets a number when it is stored.")
    template: str
    template_version: int
    parameters: dict[str, Any]
    resources: Resources
    resources_from: dict[str, str] = Field(description="Per dimension: `request`, `template` or `default`.")
    executor: str
    execution_steps: list[PlannedStep]
    retry_policy: RetryPolicy
    timeout: float
    priority: Priority
    dependencies: list[str]
    status: JobStatus = Field(description="The state it would begin in.")
    queue_position: int | None
    estimated_start_time: Timestamp | None
    estimated_start_low: Timestamp | None
    estimated_start_high: Timestamp | None


class WaitReason(Outgoing):
    """Why a job waits. The first of the list decides."""

    code: Annotated[str, open_enum(*WAIT_CODES)]
    summary: str
    facts: dict[str, Any] = Field(description="Names to numbers or text.")


class JobError(Outgoing):
    """Why the last run ended without success."""

    code: str
    message: str
    step: str | None
    exit_code: int | None
    signal: int | None
    fingerprint: str | None = Field(description="Equal for failures that are alike.")
    log_tail: list[str]


class JobSummary(Outgoing):
    """A job as it stands in a listing. Durations in seconds."""

    job_id: str
    name: str
    status: JobStatus
    seq: int = Field(description="Number of history entries: the version of the job, and its ETag.")
    template: str
    template_version: int
    batch_id: str | None
    workflow_id: str | None
    step_id: str | None
    tags: list[str]
    metadata: dict[str, Any]
    resources: Resources
    priority: Priority
    effective_priority: Priority
    dependencies: list[str]
    dependency_type: DependencyType
    retry_policy: RetryPolicy
    timeout: float
    start_after: Timestamp | None
    queue_deadline: float | None
    node_selector: dict[str, str]
    preemptible: bool
    executor: str
    limits: list[str]
    submitted_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    node_id: str | None
    attempt: int = Field(description="0 before the first start, then 1 and one more for each failure that counted.")
    max_attempts: int
    run_no: int = Field(description="Number of dispatches.")
    paused_from: JobStatus | None
    progress: float = Field(description="0 to 1 over all steps.")
    current_step: str | None
    metrics: dict[str, Any] = Field(description="The last value of each metric.")
    error: JobError | None
    wait_reason: WaitReason | None = Field(description="The first of `wait_reasons`.")
    wait_reasons: list[WaitReason]
    queue_position: int | None = Field(description="1 is next in the whole order; null when it is not in the queue.")
    estimated_start_time: Timestamp | None
    estimated_start_low: Timestamp | None
    estimated_start_high: Timestamp | None


class StepState(Outgoing):
    """Where a step of the present run is."""

    step: str
    status: Annotated[str, open_enum("PENDING", "RUNNING", "COMPLETED", "FAILED", "SKIPPED")]
    started_at: Timestamp | None
    finished_at: Timestamp | None
    text: str | None = Field(description="What it last said, such as `64/100 trees`.")


class Attempt(Outgoing):
    """A run that ended."""

    attempt: int
    run_no: int
    node_id: str | None
    started_at: Timestamp | None
    finished_at: Timestamp
    outcome: Annotated[str, open_enum("completed", "cancelled", *FAILURES)]
    peak_memory_mib: float | None
    cpu_seconds: float | None


class HistoryEntry(Outgoing):
    """A transition, or a user's change that kept the state (`from` = `to`)."""

    seq: int
    source: JobStatus | None = Field(alias="from")
    to: JobStatus
    reason: Annotated[str, open_enum(*REASONS)]
    at: Timestamp
    actor: str
    attempt: int
    run_no: int
    detail: str | None


class Job(JobSummary):
    """The whole job."""

    parameters: dict[str, Any] = Field(description="Resolved: the request over the template's defaults.")
    steps: list[StepState]
    attempts: list[Attempt]
    result: dict[str, Any] | None = Field(description="`metrics` (last values) and `steps` (outputs by step).")
    history: list[HistoryEntry]


class JobList(Outgoing):
    """A page of jobs, newest first unless asked otherwise."""

    jobs: list[JobSummary]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")
    total: int | None = Field(description="How many match in all; only with include=total, else null.")


class QueuePage(Outgoing):
    """Waiting jobs in the order in which they are considered."""

    jobs: list[JobSummary]
    next_cursor: str | None
