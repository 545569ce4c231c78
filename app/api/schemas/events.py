"""Events as they come over the streams, and problems. They stand in the document's components."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from app.api.problem_codes import CODES
from app.api.schemas.base import Outgoing, Timestamp, open_enum
from app.api.schemas.batches import BATCH_REASONS, BatchCounts
from app.api.schemas.jobs import REASONS
from app.domain.batches import BatchKind, BatchStatus
from app.domain.nodes import NodeState
from app.domain.priority import Priority
from app.domain.states import JobStatus
from app.domain.workflows.state import StepStatus, WorkflowStatus

STEP_STATUSES = (*JobStatus, *(s for s in StepStatus if s.value not in {*JobStatus, "ACTIVE"}))


class JobStateEvent(Outgoing):
    """A transition of a job: the history entry with its job."""

    type: Literal["job.state"]
    job_id: str
    name: str
    seq: int
    source: JobStatus | None = Field(alias="from")
    to: JobStatus
    reason: Annotated[str, open_enum(*REASONS)]
    at: Timestamp
    actor: str
    attempt: int
    run_no: int
    detail: str | None


class JobProgressEvent(Outgoing):
    """What a live run reports: at most one a second for each job."""

    type: Literal["job.progress"]
    job_id: str
    step: str | None
    progress: float = Field(description="0 to 1 over all steps.")
    metrics: dict[str, Any]
    text: str | None = Field(description="Like `64/100 trees`.")


class JobQueueEvent(Outgoing):
    """A job was moved in the queue by a user."""

    type: Literal["job.queue"]
    job_id: str
    priority: Priority = Field(alias="class")
    position: int | None = Field(description="Of its class, where a reorder put it; null for other reasons.")
    actor: str
    reason: str | None


class LogLineEvent(Outgoing):
    """A line of a run's log."""

    type: Literal["log.line"]
    job_id: str
    run_no: int
    step: str | None
    n: int
    at: Timestamp
    stream: str
    text: str


class BatchStateEvent(Outgoing):
    """A batch changed its state, or what is wanted of it, or how far it has come."""

    type: Literal["batch.state"]
    id: str = Field(description="Of the batch.")
    status: BatchStatus
    counts: BatchCounts
    size: int = Field(description="Jobs in all.")
    at: Timestamp
    name: str
    kind: Annotated[str, open_enum(*BatchKind)]
    seq: int
    reason: Annotated[str, open_enum(*BATCH_REASONS)]
    actor: str
    detail: str | None


class WorkflowStateEvent(Outgoing):
    """A workflow changed: its state, or how many of its steps are in which. One for each entry of its history."""

    type: Literal["workflow.state"]
    id: str
    status: WorkflowStatus = Field(description="After the change.")
    counts: dict[str, int]
    at: Timestamp
    name: str
    seq: int
    reason: str | None = Field(description="As in the history; null where that has no new entry, as are the next two.")
    actor: str | None
    detail: str | None


class WorkflowStepEvent(Outgoing):
    """A step of a workflow changed: with its job, or by itself where it has none."""

    type: Literal["workflow.step"]
    workflow_id: str
    step_id: str
    status: Annotated[str, open_enum(*STEP_STATUSES)]
    job_id: str | None
    item: int | None = Field(description="Of a `for_each` the item whose job it is.")
    skipped_because: str | None


class NodeStateEvent(Outgoing):
    """A node came, drains, or was lost."""

    type: Literal["node.state"]
    node_id: str
    state: NodeState
    at: Timestamp
    reason: str | None


class ResyncEvent(Outgoing):
    """Events were missed: read again what you show, then go on."""

    type: Literal["resync"]
    reason: str


EVENT_MODELS: dict[str, type[Outgoing]] = {
    "job.state": JobStateEvent,
    "job.progress": JobProgressEvent,
    "job.queue": JobQueueEvent,
    "log.line": LogLineEvent,
    "batch.state": BatchStateEvent,
    "workflow.state": WorkflowStateEvent,
    "workflow.step": WorkflowStepEvent,
    "node.state": NodeStateEvent,
    "resync": ResyncEvent,
}


class FieldProblem(Outgoing):
    """One thing wrong with a request."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    path: str = Field(description="Like `parameters.algorithm` or `dependencies[0]`.")
    message: str
    nearest: str | None = Field(None, description="The known name that was probably meant.")


class Problem(Outgoing):
    """RFC 9457. What does not apply is left out."""

    type: str = Field(description="A path below /docs/errors/ that explains the code.")
    title: str
    status: int
    code: Annotated[str, open_enum(*CODES)]
    detail: str
    instance: str
    errors: list[FieldProblem]
    request_id: str
    current: str | None = Field(None, description="The state or version the object is at.")
    wanted: str | None = Field(None, description="The state that it cannot go to.")
    allowed: list[str] | None = Field(None, description="The states it can go to.")
    nearest: str | None = None
