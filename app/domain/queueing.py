"""What the queue index knows of a waiting job, and the bucket it belongs to.

A bucket is all waiting jobs that a scheduler cannot tell apart but by their order: same effective class, tenant, exact
vector and selector, and whether each must have a node for itself (suspects). Only the heads of buckets are examined, so
a block of blocked jobs never hides small ones behind it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from app.domain.job import Job
from app.domain.priority import RANK, Priority
from app.domain.resources import Vector

Selector = tuple[tuple[str, str], ...]
Request = tuple[Vector, Selector, bool]
"""What is asked of a node: so much, these labels, and whether nobody else may be there."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The parts of a bucket; `id` is a digest of them."""

    priority: Priority
    tenant: str
    vector: Vector
    selector: Selector = ()
    alone: bool = False

    def parts(self) -> dict[str, Any]:
        """The JSON form that is stored beside the bucket. `alone` stands in it only where it is true."""
        parts: dict[str, Any] = {
            "class": self.priority.value,
            "tenant": self.tenant,
            "vector": list(self.vector.parts()),
            "selector": [list(pair) for pair in self.selector],
        }
        return parts | {"alone": True} if self.alone else parts

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> Bucket:
        selector = tuple((str(k), str(v)) for k, v in parts["selector"])
        vector, alone = Vector(*parts["vector"]), bool(parts.get("alone", False))
        return cls(Priority(parts["class"]), parts["tenant"], vector, selector, alone)

    @property
    def request(self) -> Request:
        return self.vector, self.selector, self.alone

    @property
    def id(self) -> str:
        canonical = json.dumps(self.parts(), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Ticket:
    """A waiting job as the index holds it. `key` is its order key, `submitted` its submission time on the same
    scale."""

    job_id: str
    key: float
    submitted: float
    bucket: Bucket


def ticket_of(job: Job) -> Ticket:
    """The ticket of a QUEUED job."""
    selector = tuple(sorted(job.node_selector.items()))
    bucket = Bucket(job.effective_priority, job.tenant, job.resources, selector, job.suspect)
    return Ticket(job.id, job.order_key, job.order_key, bucket)


def main_order(bucket: Bucket, key: float, job_id: str) -> tuple[int, float, str]:
    """The order in which waiting jobs are considered: class, key, id."""
    return RANK[bucket.priority], key, job_id
