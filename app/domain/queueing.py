"""What the queue index knows of a waiting job, and the bucket it belongs to.

A bucket is all waiting jobs that a scheduler cannot tell apart but by their order: same effective class, tenant, place
by hand, vector, selector, need to be alone, and class of duration. Only the heads of buckets are examined, so a block
of blocked jobs never hides small ones behind it, and the number of waiting jobs costs nothing.

So that many different jobs make few buckets, a bucket may stand for less exact parts. What a bucket says is an index
only: fit and allocation go by the exact demand of the job at hand, which stands beside it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from app.domain.job import Job
from app.domain.priority import PATIENCE, RANK, SECOND, Priority, order_key
from app.domain.resources import Vector
from app.domain.sizing.grid import quarter_octave

Selector = tuple[tuple[str, str], ...]
Request = tuple[Vector, Selector, bool]
"""What is asked of a node: so much, these labels, and whether nobody else may be there."""
START_ALLOWANCE = 30.0
"""Seconds that a run may take to begin, within its hard duration."""
KILL_ALLOWANCE = 10.0
"""Seconds that the end of a run may take beyond its time limit, within its hard duration."""


class Resolution(IntEnum):
    """How exact a bucket is. The mixed bucket of a class and tenant holds what no other may."""

    EXACT = 0
    QUARTER_OCTAVE = 1
    OCTAVE = 2
    MIXED = 3


ROOM = {Resolution.EXACT: 48, Resolution.QUARTER_OCTAVE: 80, Resolution.OCTAVE: 96}
"""Buckets of one class and tenant below which a new one of this resolution may be made."""
MOST_BUCKETS = 4_096
"""Buckets of all classes and tenants above which new jobs go to the mixed ones."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a waiting job asks for, exactly. Durations in microseconds: what it should take in the mean, what nine in
    ten like it stay below, and what it cannot exceed. `own`: the class that was asked for; `submitted`: on the scale of
    order keys."""

    vector: Vector
    own: Priority = Priority.NORMAL
    submitted: float = 0.0
    mean: int = 60 * SECOND
    cautious: int = 60 * SECOND
    hard: int = 3_640 * SECOND
    selector: Selector = ()
    prefer: Selector = ()
    alone: bool = False
    preemptible: bool = False

    @property
    def request(self) -> Request:
        return self.vector, self.selector, self.alone

    @property
    def due(self) -> float:
        """From when on the job is overdue."""
        return self.submitted + PATIENCE[self.own]

    def parts(self) -> list[Any]:
        """The JSON form; trailing parts that are the default are left out."""
        flags = self.alone + 2 * self.preemptible
        first = [*self.vector.parts(), self.own.value, self.submitted, self.mean, self.cautious, self.hard]
        labels = [[list(pair) for pair in self.selector], [list(pair) for pair in self.prefer]]
        return [*first, flags, *labels] if any(labels) else [*first, flags]

    @classmethod
    def from_parts(cls, parts: list[Any]) -> Demand:
        """Raises TypeError, ValueError or KeyError for what `parts` has not made."""
        cpu, memory, gpu, storage, own, submitted, mean, cautious, hard, flags, *labels = parts
        selector, prefer = (_pairs(labels[0]), _pairs(labels[1])) if labels else ((), ())
        vector, alone, preemptible = Vector(cpu, memory, gpu, storage), bool(flags & 1), bool(flags & 2)
        times = float(submitted), int(mean), int(cautious), int(hard)
        return cls(vector, Priority(own), *times, selector, prefer, alone, preemptible)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The parts of a bucket; `id` is a digest of them. `pin`: the band that a reorder put its members in, None where
    their tenant's counts; `duration`: ⌊log2(1 + minutes)⌋ of the cautious duration."""

    priority: Priority
    tenant: str
    vector: Vector
    selector: Selector = ()
    alone: bool = False
    pin: int | None = None
    duration: int = 0
    resolution: Resolution = Resolution.EXACT

    def parts(self) -> dict[str, Any]:
        """The JSON form that is stored beside the bucket. What is the default is left out."""
        parts: dict[str, Any] = {
            "class": self.priority.value,
            "tenant": self.tenant,
            "vector": list(self.vector.parts()),
            "selector": [list(pair) for pair in self.selector],
        }
        more = {"pin": self.pin, "duration": self.duration, "resolution": int(self.resolution), "alone": self.alone}
        return parts | {k: v for k, v in more.items() if v or (k == "pin" and v is not None)}

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> Bucket:
        return cls(
            Priority(parts["class"]),
            parts["tenant"],
            Vector(*parts["vector"]),
            _pairs(parts["selector"]),
            bool(parts.get("alone", False)),
            parts.get("pin"),
            int(parts.get("duration", 0)),
            Resolution(parts.get("resolution", 0)),
        )

    def at(self, resolution: Resolution) -> Bucket:
        """This exact bucket, as exact as that."""
        if resolution is Resolution.EXACT:
            return self
        if resolution is Resolution.MIXED:
            return Bucket(self.priority, self.tenant, Vector(), pin=self.pin, resolution=resolution)
        if resolution is Resolution.QUARTER_OCTAVE:
            return replace(self, vector=Vector(*map(quarter_octave, self.vector.parts())), resolution=resolution)
        cpu, memory, gpu, _ = map(octave, self.vector.parts())
        return replace(self, vector=Vector(cpu, memory, gpu), duration=0, resolution=resolution)

    @property
    def id(self) -> str:
        canonical = json.dumps(self.parts(), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Ticket:
    """A waiting job as the index holds it. `key` is its order key, `bucket` the exact one."""

    job_id: str
    key: float
    bucket: Bucket
    demand: Demand


def ticket_of(job: Job) -> Ticket:
    """The ticket of a QUEUED job."""
    demand = demand_of(job)
    duration = duration_class(demand.cautious)
    bucket = Bucket(job.effective_priority, job.tenant, job.resources, demand.selector, job.suspect, job.pin, duration)
    return Ticket(job.id, job.order_key, bucket, demand)


def demand_of(job: Job) -> Demand:
    """What a job asks for."""
    return Demand(
        vector=job.resources,
        own=job.priority,
        submitted=order_key(job.submitted_at),
        mean=round(job.duration.mean * SECOND),
        cautious=round(job.duration.cautious * SECOND),
        hard=hard_duration(job.timeout),
        selector=labels(job.node_selector),
        prefer=labels(job.prefer),
        alone=job.suspect,
        preemptible=job.preemptible,
    )


def hard_duration(timeout: float) -> int:
    """What a run with this time limit (seconds) cannot exceed, in microseconds."""
    return round((timeout + KILL_ALLOWANCE + START_ALLOWANCE) * SECOND)


def duration_class(cautious: int) -> int:
    """⌊log2(1 + minutes)⌋: a short job may start where its longer twin may not."""
    return (1 + cautious // (60 * SECOND)).bit_length() - 1


def octave(amount: int) -> int:
    """Rounded up to a power of two."""
    return 1 << (amount - 1).bit_length() if amount else 0


def main_order(bucket: Bucket, band: int, key: float, job_id: str) -> tuple[int, int, float, str]:
    """The order in which waiting jobs are considered: class, band, key, id. `band`: the tenant's."""
    return RANK[bucket.priority], band if bucket.pin is None else bucket.pin, key, job_id


def labels(pairs: Any) -> Selector:
    """A mapping of labels as sorted pairs."""
    return tuple(sorted(pairs.items()))


def _pairs(found: Any) -> Selector:
    return tuple((str(k), str(v)) for k, v in found)
