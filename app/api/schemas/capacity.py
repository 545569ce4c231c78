"""The capacity plan: how many nodes there should be, and why."""

from typing import Annotated

from pydantic import Field

from app.api.schemas.base import Outgoing, Timestamp, open_enum
from app.api.schemas.sizing import Resources
from app.domain.priority import Priority

LIMITS = (
    "MAX_CONCURRENT_JOBS",
    "TENANT_QUOTAS",
    "NODE_TYPES unset",
    "NODE_TYPES max",
    "CLASS_PRICES",
    "step",
    "boot failed",
    "queue paused",
)


class NodeCount(Outgoing):
    """So many nodes of a type of `NODE_TYPES`."""

    type: str
    count: int


class PresentNodes(Outgoing):
    """Nodes of a type that there are."""

    type: str | None = Field(description="Null for nodes that the plan counts on and never takes away.")
    count: int = Field(description="Nodes that are there, those that drain included.")
    booting: int = Field(description="Asked for, and not there yet.")
    draining: int = Field(description="Of `count`: take no more work, since the fleet shrinks.")


class LeavingNode(Outgoing):
    """A node that is to take no more work."""

    node: str
    empty_at: Timestamp = Field(description="When the last of its runs should end.")


class PlanReason(Outgoing):
    """Jobs of one bucket that wait, and what they need."""

    priority: Priority = Field(alias="class", description="The effective class.")
    bucket: str
    waiting: int
    target: float = Field(description="Seconds within which they are to start.")
    forecast: float | None = Field(
        description="Seconds until the last of them should start with the nodes that there are; null: not in sight."
    )
    slots: int = Field(description="How many of them are to run at once.")
    late: bool = Field(description="Nodes are asked for because of them.")
    resources: Resources
    node_selector: dict[str, str]


class PlanLimit(Outgoing):
    """What keeps the fleet from being as it should."""

    limit: Annotated[str, open_enum(*LIMITS)]
    type: str | None
    allowed: float | None
    wanted: float | None


class FleetCost(Outgoing):
    """Prices of all nodes together, by the hour."""

    present: float
    desired: float


class PendingPlan(Outgoing):
    """A plan that was told to the provider, of which nobody knows yet what became."""

    plan_id: str
    since: Timestamp
    tries: int


class CapacityPlan(Outgoing):
    """What the autoscaler wants and why, as of its last look."""

    now: Timestamp = Field(description="When it was made.")
    provider: Annotated[str, open_enum("none", "local", "webhook", "kubernetes", "ray")] = Field(
        description="Who carries it out; `none`: it is advice."
    )
    desired: list[NodeCount]
    present: list[PresentNodes]
    add: list[NodeCount]
    drain: list[LeavingNode]
    reasons: list[PlanReason] = Field(description="The first hundred, those first for which nodes are asked for.")
    limited_by: list[PlanLimit]
    cost_per_hour: FleetCost
    unplannable: list[PlanReason] = Field(description="Waiting jobs that no node could hold that there is or may be.")
    pending: PendingPlan | None
    trouble: str | None = Field(description="What the provider said last, where it did not do as it was asked.")
