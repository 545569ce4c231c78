"""Jobs as they are answered."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from app.api.schemas.base import Outgoing, Timestamp, open_enum
from app.api.schemas.origins import ValueOrigin
from app.api.schemas.sizing import Attempt, ExpectedDuration, Resources, Sizing
from app.domain.explain import WAIT_CODES
from app.domain.job import CONTROLS, DependencyType
from app.domain.priority import Priority
from app.domain.states import EDGES, FAILURES, STATE_KEEPING, JobStatus

REASONS = tuple(dict.fromkeys([*(edge.reason for edge in EDGES), *sorted(STATE_KEEPING)]))


class Backoff(StrEnum):
    """How the delay between attempts grows."""

    FIXED = "fixed"
    EXPONENTIAL = "exponential"


class RetryPolicy(Outgoing):
    """The retry policy in force. Delays in seconds."""

    max_attempts: int
    retry_delay: float
    backoff: Annotated[str, open_enum(*Backoff)]
    max_delay: float
    jitter: float
    retry_on: list[Annotated[str, open_enum(*FAILURES)]]
    memory_growth: float


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
    exception_type: str | None = Field(description="Type of the exception that ended it, if one did.")
    frame: str | None = Field(description="`file:function` where that was raised.")


class Control(Outgoing):
    """What a user has asked of a live run; its node makes the run agree with it."""

    action: Annotated[str, open_enum(*CONTROLS)]
    actor: str
    reason: str | None
    at: Timestamp


class JobPlan(Outgoing):
    """What a submit would store, and when it would start. Nothing was stored."""

    name: str = Field(description="Its name; a repeated one gets a number when it is stored.")
    template: str
    template_version: int
    parameters: dict[str, Any]
    resources: Resources
    resources_from: dict[str, str] = Field(
        description="Per dimension: `request`, `template`, `default`, or what sizing went by: `history`, `prior`."
    )
    executor: str
    execution_steps: list[PlannedStep]
    retry_policy: RetryPolicy
    timeout: float
    priority: Priority
    dependencies: list[str]
    tenant: str
    expected_duration: ExpectedDuration
    sizing: Sizing | None = Field(description="Why it would get these resources.")
    wait_reasons: list[WaitReason] = Field(description="What is known now that would keep it waiting; places apart.")
    status: JobStatus = Field(description="The state it would begin in.")
    queue_position: int | None
    estimated_start_time: Timestamp | None
    estimated_start_low: Timestamp | None
    estimated_start_high: Timestamp | None
    origins: list[ValueOrigin] = Field(description="What gave each value: the request, a layer of the template, …")


class Reserved(Outgoing):
    """The promise of a start, kept however wrong all expectations are."""

    node_id: str
    by: Timestamp = Field(description="When the node has room at the latest.")
    limit: Timestamp = Field(description="By when it starts; `by` and the slack.")
    since: Timestamp


class JobSummary(Outgoing):
    """A job as it stands in a listing. Durations in seconds."""

    job_id: str
    name: str
    tenant: str
    status: JobStatus
    seq: int = Field(description="Number of history entries: the version of the job, and its ETag.")
    template: str
    template_version: int
    batch_id: str | None
    workflow_id: str | None
    step_id: str | None
    step_item: int | None = Field(description="Of a workflow's step over many items the one that it is for.")
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
    prefer: dict[str, str] = Field(description="Labels of nodes that it would like best.")
    preemptible: bool
    executor: str
    limits: list[str]
    expected_duration: ExpectedDuration
    submitted_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    node_id: str | None
    attempt: int = Field(description="0 before the first start, then 1 and one more for each failure that counted.")
    max_attempts: int
    run_no: int = Field(description="Number of dispatches.")
    infra_losses: int = Field(description="Workers that crashed under it; from 2 on it runs alone on a node.")
    paused_from: JobStatus | None = Field(description="Of a PAUSED job: the state it was paused in.")
    control: Control | None = Field(description="What was asked last of the live run; null when nothing was.")
    progress: float = Field(description="0 to 1 over all steps.")
    current_step: str | None
    metrics: dict[str, Any] = Field(description="The last value of each metric.")
    error: JobError | None
    wait_reason: WaitReason | None = Field(description="The first of `wait_reasons`.")
    wait_reasons: list[WaitReason]
    queue_position: int | None = Field(description="1 is next in the whole order; null when it is not in the queue.")
    reserved: Reserved | None
    estimated_start_time: Timestamp | None
    estimated_start_low: Timestamp | None
    estimated_start_high: Timestamp | None


class StepState(Outgoing):
    """Where a step of the present run is."""

    step: str
    status: Annotated[str, open_enum("PENDING", "RUNNING", "COMPLETED", "FAILED", "SKIPPED", "STOPPED")]
    started_at: Timestamp | None
    finished_at: Timestamp | None
    text: str | None = Field(description="What it last said, such as `64/100 trees`.")


class JobResult(Outgoing):
    """What a run that completed leaves."""

    metrics: dict[str, Any] = Field(description="The last value of each metric.")
    steps: dict[str, Any] = Field(description="The outputs of each step, by its name.")
    not_finite: list[str] | None = Field(
        None, description="Metrics that were told as NaN or infinite, which count as no value; left out without any."
    )


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
    sizing: Sizing | None = Field(description="Why it got its resources; null of jobs from before there was sizing.")
    steps: list[StepState]
    attempts: list[Attempt]
    result: JobResult | None = Field(description="Of the run that completed.")
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
