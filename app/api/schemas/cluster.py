"""Queue, resources, nodes, and the process itself."""

from typing import Annotated, Any

from pydantic import Field

from app.api.schemas.base import Outgoing, Timestamp, open_enum
from app.api.schemas.jobs import Resources
from app.domain.nodes import NodeState


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


class QueueStatus(Outgoing):
    """How many jobs are where."""

    queue_length: int = Field(description="Jobs in state QUEUED: the sum of all `queues.*.length`.")
    running_jobs: int
    pending_jobs: int = Field(description="Accepted but not eligible: SUBMITTED and RETRYING.")
    scheduled_jobs: int
    paused_jobs: int
    queues: ClassStatuses


class NodeResources(Outgoing):
    """A node's part in the availability."""

    node_id: str
    state: NodeState
    labels: dict[str, str]
    logical: bool = Field(description="The capacity is advertised, not detected.")
    total: Resources
    allocated: Resources
    available: Resources


class ResourceAvailability(Outgoing):
    """Sums over nodes that are not lost; `available` counts only those that take work."""

    total: Resources
    allocated: Resources
    available: Resources
    nodes: list[NodeResources]


class RunningOn(Outgoing):
    """A run that holds resources on a node."""

    job_id: str
    run_no: int
    resources: Resources
    gpu_indices: list[int]


class Node(NodeResources):
    """A node with its lease and what it runs."""

    epoch: int
    registered_at: Timestamp | None
    lease_until: Timestamp | None
    allocations: list[RunningOn]
    facts: dict[str, Any]


class NodeList(Outgoing):
    """All nodes by id."""

    nodes: list[Node]


class WorkerActivity(Outgoing):
    """A worker as the platform's front end reads it."""

    worker_id: str
    status: Annotated[str, open_enum("idle", "busy", "draining", "offline")]
    current_task_id: str | None
    current_job_id: str | None
    tasks_completed: int
    last_activity_time: Timestamp | None


class WorkerActivities(Outgoing):
    """All workers."""

    workers: list[WorkerActivity]
    total_workers: int


class Liveness(Outgoing):
    """The process answers."""

    status: str


class Readiness(Outgoing):
    """Whether the process can do its work, and per part what is wrong."""

    status: Annotated[str, open_enum("ready", "degraded", "unavailable")]
    checks: dict[str, str]
