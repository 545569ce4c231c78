"""The decision log as it is answered."""

from typing import Any

from pydantic import Field

from app.api.schemas.base import Outgoing, Timestamp


class Decision(Outgoing):
    """What a cycle decided. Times inside are microseconds since 2020."""

    decision_id: str
    at: Timestamp
    cycle: int = Field(description="Number of the cycle within the leader's term.")
    term: int
    now: int
    code_version: str
    snapshot_hash: str
    placements: list[dict[str, Any]]
    reservations: list[dict[str, Any]] = Field(description="Promises in force after it.")
    revoked: list[dict[str, Any]]
    evictions: list[dict[str, Any]]
    credit: int = Field(description="Of the guarantee lane, in micro-cluster-seconds.")
    capped: bool
    faults: dict[str, str]
    verdict_counts: dict[str, int] = Field(description="Waiting jobs by the reason that decides.")


class DecisionList(Outgoing):
    """The newest first."""

    decisions: list[Decision]


class DecisionRecord(Decision):
    """A decision with what it was made from; `tensorfleet replay` takes it as a file."""

    snapshot: dict[str, Any] | None = Field(description="Null where it was not kept: see PLAN_RECORD.")
