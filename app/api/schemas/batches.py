"""Batches as they are asked for and answered."""

from typing import Annotated, Any

from pydantic import Field

from app.api.schemas.base import Flag, Incoming, Outgoing, Timestamp, Whole, open_enum
from app.api.schemas.controls import Reasoned
from app.api.schemas.job_requests import JobCreate
from app.api.schemas.jobs import Control
from app.api.schemas.sweeps import SweepCreate, SweepInfo
from app.domain.batch_transitions import EDGES
from app.domain.batches import MAX_JOBS, BatchKind, BatchStatus, ExecutionMode
from app.domain.json import Json

BATCH_REASONS = sorted({edge.reason for edge in EDGES})


class BatchHead(Incoming):
    """What is asked of a batch as a whole."""

    execution_mode: ExecutionMode = Field(
        ExecutionMode.PARALLEL,
        description="As room allows, or each job after the one before has ended, however it did.",
    )
    max_parallel: Whole | None = Field(
        None, description="So many of its jobs at most are in the queue or further at once; without it any number."
    )
    fail_fast: Flag = Field(False, description="The first job that ends FAILED or TIMEOUT has all others cancelled.")
    name: str | None = Field(None, description="A name; without one the batch is named after its template and size.")
    callback_url: str | None = Field(None, description="Where one signed POST tells how the batch ended.")
    metadata: dict[str, Json] = Field(default_factory=dict, description="Kept and answered, never read by the service.")


class BatchCreate(BatchHead):
    """Jobs to run as one thing: all of them are accepted, or none."""

    jobs: list[JobCreate] = Field(
        description=f"1 to {MAX_JOBS:,} jobs, each as in POST /jobs.", json_schema_extra={"maxItems": MAX_JOBS}
    )


class SweepBatch(BatchHead):
    """A sweep as a batch: `sweep` in place of `jobs`."""

    sweep: SweepCreate


class BatchCounts(Outgoing):
    """How many of its jobs are in which state, counted from the jobs."""

    total: int = Field(description="Jobs that there are.")
    submitted: int
    queued: int
    scheduled: int
    running: int
    paused: int
    retrying: int
    completed: int
    failed: int
    cancelled: int
    timeout: int


class BatchSubmitted(Outgoing):
    """An accepted batch: it is stored with all its jobs."""

    batch_id: str
    name: str
    status: BatchStatus
    message: str
    job_ids: list[str] = Field(description="In the order of the request.")
    counts: BatchCounts


class BatchCallback(Outgoing):
    """What becomes of the one POST to `callback_url`."""

    url: str
    tries: int
    next_try_at: Timestamp | None = Field(description="Null while the batch is open, and when nothing more is tried.")
    delivered_at: Timestamp | None
    trouble: str | None = Field(description="Why the last try did not arrive.")


class BatchSummary(Outgoing):
    """A batch as it stands in a listing."""

    batch_id: str
    kind: Annotated[str, open_enum(*BatchKind)]
    name: str
    tenant: str
    status: BatchStatus
    seq: int = Field(description="Number of history entries: the version of the batch, and its ETag.")
    size: int = Field(description="Jobs in all.")
    counts: BatchCounts
    progress: float = Field(description="Share of its jobs that have ended, 0 to 1; 1 when the batch has.")
    template: str | None = Field(description="Of all its jobs; null where they differ.")
    execution_mode: ExecutionMode
    max_parallel: int | None
    fail_fast: bool
    control: Control | None = Field(description="What is being done to all its jobs; null when nothing is.")
    callback: BatchCallback | None
    metadata: dict[str, Any]
    submitted_at: Timestamp
    finished_at: Timestamp | None


class BatchEntry(Outgoing):
    """A change of the batch, or of what is wanted of it (`from` = `to`)."""

    seq: int
    source: BatchStatus | None = Field(alias="from")
    to: BatchStatus
    reason: Annotated[str, open_enum(*BATCH_REASONS)]
    at: Timestamp
    actor: str
    detail: str | None


class Batch(BatchSummary):
    """The whole batch. Its jobs are listed by GET /jobs?batch_id=…"""

    sweep: SweepInfo | None = Field(description="What is searched, and what was found; null for a list of jobs.")
    history: list[BatchEntry]


class BatchControlled(Batch):
    """The whole batch, and what the control does to it."""

    message: str = Field(description="What happens now, for people.")


class BatchList(Outgoing):
    """A page of batches, newest first."""

    batches: list[BatchSummary]
    next_cursor: str | None


class BatchCancel(Reasoned):
    """Why a batch is cancelled. The body may be left out."""


class BatchPause(Reasoned):
    """How a batch is paused, and why. The body may be left out."""

    release: Flag = Field(
        False,
        description="Have what runs leave its node too, with a checkpoint if it can; else it runs to its end.",
    )


class BatchResume(Reasoned):
    """Why a batch is resumed. The body may be left out."""


class BatchRetry(Reasoned):
    """Why a batch is retried. The body may be left out."""
