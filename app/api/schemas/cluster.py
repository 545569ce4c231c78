"""Resources, nodes, and the process itself."""

from typing import Annotated, Any

from pydantic import Field

from app.api.schemas.base import Outgoing, Timestamp, open_enum
from app.api.schemas.sizing import Resources
from app.domain.nodes import NodeState


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


class Drain(Outgoing):
    """The wish that the node takes no more work."""

    actor: str
    reason: str | None
    at: Timestamp
    patient: bool = Field(description="Its runs may end by themselves, however long that takes: the fleet shrinks.")


class Node(NodeResources):
    """A node with its lease and what it runs."""

    epoch: int
    registered_at: Timestamp | None
    lease_until: Timestamp | None
    drain: Drain | None = Field(description="Who drained it, and why; null when it is to take work.")
    allocations: list[RunningOn]
    facts: dict[str, Any]
    settings_differ: list[str] = Field(
        description="Settings that its worker was given otherwise than the service; start both with the same."
    )


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


class SchedulerFigures(Outgoing):
    """The scheduler of this process."""

    leading: bool
    term: int | None = Field(description="Grows with each new leader; null while another process leads.")
    seconds_since: dict[str, float | None] = Field(
        description="Seconds since the last whole `cycle`, and since each periodic loop did its work; null before it "
        "has. A leader whose last cycle is older than 60 s is unavailable."
    )
    holding_back: str | None = Field(description="Why a leader takes no runs from lapsed nodes just now.")


class ReadinessDetail(Outgoing):
    """Figures that tell more and decide nothing."""

    feed_mode: Annotated[str, open_enum("watch", "poll")] = Field(
        description="`watch`: MongoDB pushes changes; `poll`: it refuses to, and is asked each second."
    )
    index_epoch: str | None = Field(description="Mark of the queue index; null while it is not built.")
    quarantined: int = Field(
        description="Unreadable documents that this process has met and left out; the collection `quarantine` has them."
    )
    scheduler: SchedulerFigures | None


class Readiness(Outgoing):
    """Whether the process can do its work, and per part what is wrong."""

    status: Annotated[str, open_enum("ready", "degraded", "unavailable")]
    checks: dict[str, str] = Field(description="Per part `ok`, with what there is to say of it, or what is wrong.")
    detail: ReadinessDetail
