"""Why, and what if: as they are asked and answered."""

from enum import StrEnum

from pydantic import Field

from app.api.schemas.base import Incoming, Outgoing, Timestamp, Whole
from app.api.schemas.job_requests import JobCreate, ResourceRequest
from app.domain.json import Json
from app.domain.priority import Priority
from app.domain.states import JobStatus
from app.domain.what_if import MOST_ADDED_NODES, MOST_CHANGES


class ChangeKind(StrEnum):
    """What is supposed."""

    ADD_JOB = "add_job"
    CANCEL = "cancel"
    PRIORITY = "priority"
    RESOURCES = "resources"
    ADD_NODES = "add_nodes"
    DRAIN_NODE = "drain_node"


class SupposedChange(Incoming):
    """A change that is not made. Which fields it has goes by `op`: add_job `job`; cancel `job_id`; priority `job_id`,
    `priority`; resources `job_id`, `resources`; add_nodes `type`, `count`; drain_node `node_id`."""

    op: ChangeKind
    job: JobCreate | None = Field(None, description="A job to add, as it would be submitted.")
    job_id: str | None = Field(None, max_length=64, description="A waiting job; cancel also takes a running one.")
    priority: Priority | None = None
    resources: ResourceRequest | None = Field(None, description="What is left out stays as it is.")
    type: str | None = Field(None, max_length=63, description="A name in the setting NODE_TYPES.")
    count: Whole | None = Field(None, ge=1, le=MOST_ADDED_NODES, description="How many nodes; 1 when left out.")
    node_id: str | None = Field(None, max_length=63)


class WhatIfRequest(Incoming):
    """Changes that apply in turn, each to what those before it left."""

    changes: list[SupposedChange] = Field(min_length=1, max_length=MOST_CHANGES)


class JobOutcome(Outgoing):
    """When a job starts and where it stands."""

    starts_at: Timestamp | None = Field(description="Null when that is not in sight.")
    position: int | None


class OutcomeChange(Outgoing):
    """A job that fares otherwise. Null: it does not wait there."""

    job_id: str = Field(description="`added_0` is the job of the first change, and so on.")
    before: JobOutcome | None
    after: JobOutcome | None


class WhatIfAnswer(Outgoing):
    """What the changes would do. Nothing was stored."""

    at: Timestamp
    starts_now: list[str] = Field(description="Jobs that start at once with the changes, and not without.")
    jobs: list[OutcomeChange] = Field(description="Jobs whose start or position differs.")
    examined: int = Field(description="Waiting jobs that were followed one by one: the first hundred and those named.")
    waiting: int


class ReasonRemedy(Outgoing):
    """Something that helps."""

    code: str
    text: str
    command: str | None


class ExplainedReason(Outgoing):
    """Why, with what can be done about it."""

    code: str
    summary: str
    facts: dict[str, Json]
    remedies: list[ReasonRemedy]


class NamedChange(Outgoing):
    """A change that would have the job start sooner, tried on the present state."""

    change: str
    starts_at: Timestamp | None
    position: int | None


class JobExplanation(Outgoing):
    """All reasons, the deciding one first, and what would change it."""

    job_id: str
    status: JobStatus
    reasons: list[ExplainedReason]
    changes: list[NamedChange]
