"""The queue: what is asked of it, how it stands, and what moving a job in it does."""

from pydantic import Field

from app.api.schemas.base import Incoming, Outgoing, Timestamp, Whole
from app.domain.priority import Priority


class Because(Incoming):
    """A change of the queue with its reason."""

    reason: str | None = Field(None, max_length=500, description="Why.")


class QueuePauseRequest(Because):
    """Why the queue is paused. The body may be left out."""


class QueueResumeRequest(Because):
    """Why the queue goes on. The body may be left out."""


class QueueReorder(Because):
    """Which job is moved where, and why."""

    job_id: str = Field(description="Id of a job in state QUEUED.", max_length=80)
    new_position: Whole = Field(description="Its position from now on, counted inside its effective class; 1 is first.")


class ClassStatus(Outgoing):
    """One priority class."""

    length: int = Field(description="Jobs of this effective class in state QUEUED.")
    avg_wait_time: str = Field(description="As text, like `2m 30s`.")
    avg_wait_seconds: float = Field(description="Of jobs started in the last hour, else of those waiting now.")


class ClassStatuses(Outgoing):
    """All four classes, always."""

    urgent: ClassStatus
    high: ClassStatus
    normal: ClassStatus
    low: ClassStatus


class QueuePause(Outgoing):
    """Who paused the queue, why, and since when."""

    actor: str
    reason: str | None
    at: Timestamp


class QueueStatus(Outgoing):
    """How many jobs are where."""

    queue_length: int = Field(description="Jobs in state QUEUED: the sum of all `queues.*.length`.")
    running_jobs: int
    pending_jobs: int = Field(description="Accepted but not eligible: SUBMITTED and RETRYING.")
    scheduled_jobs: int
    paused_jobs: int
    queues: ClassStatuses
    paused: bool = Field(description="Nothing is placed while it is; what runs goes on.")
    pause: QueuePause | None
    promises: int = Field(description="Waiting jobs to which a node and a latest start are promised.")


class PushedBack(Outgoing):
    """A job that stands one place further back in its class."""

    job_id: str
    position_before: int
    position_after: int
    estimated_start_before: Timestamp | None
    estimated_start_after: Timestamp | None


class QueueReordered(Outgoing):
    """What the move does. Positions count inside the class; starts are null where none is known."""

    job_id: str
    seq: int = Field(description="The version of the job after it, and its ETag.")
    priority: Priority = Field(alias="class", description="The effective class that the positions count in.")
    position_before: int
    position_after: int
    estimated_start_before: Timestamp | None
    estimated_start_after: Timestamp | None
    pushed_back_count: int = Field(description="How many jobs stand one place further back for it.")
    pushed_back: list[PushedBack] = Field(description="The first hundred of them, in order.")
    dry_run: bool = Field(description="Nothing was moved: this is what a move would do.")


class NamedLimit(Outgoing):
    """A named limit: how many jobs that name it may be queued or run at once."""

    name: str
    limit: int
    held: int = Field(description="Places that are taken, from QUEUED until the job has ended.")
    holders: list[str] = Field(description="Ids of the jobs that hold them, at most 100.")
    waiting: int = Field(description="Jobs that name it and are SUBMITTED.")


class NamedLimits(Outgoing):
    """The limits of the setting CONCURRENCY_LIMITS, by name."""

    limits: list[NamedLimit]
