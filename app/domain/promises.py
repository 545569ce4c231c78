"""A promise: by when a blocked job starts on which node, however wrong all expectations are.

`by` is when the node has room at the latest, by the hard ends of what ran there when the promise was made; `limit` is
`by` plus the slack. It is kept from cycle to cycle. Times in µs since 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.domain.queueing import Demand
from app.domain.resources import Vector

OVERDUE_RANK = -1
"""The rank of a promise to the first of the overdue: nobody may displace it."""


@dataclass(frozen=True, slots=True)
class Promise:
    """`rank`: that of the job's effective class; only a strictly higher class may break the promise."""

    job_id: str
    node_id: str
    by: int
    limit: int
    since: int
    rank: int
    demand: Demand

    def holds_of(self, capacity: Vector) -> Vector:
        """What the job will hold of a node of that capacity."""
        return capacity if self.demand.alone else self.demand.vector

    def parts(self) -> dict[str, Any]:
        """The JSON form."""
        times = {"by": self.by, "limit": self.limit, "since": self.since, "rank": self.rank}
        return {"job_id": self.job_id, "node_id": self.node_id, **times, "demand": self.demand.parts()}

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> Promise:
        by, limit, since, rank = (int(parts[name]) for name in ("by", "limit", "since", "rank"))
        return cls(parts["job_id"], parts["node_id"], by, limit, since, rank, Demand.from_parts(parts["demand"]))
