"""What was seen of a run of the laboratory: plain values, gathered from outside the service.

The checker judges these alone. Jobs are as `GET /jobs/{id}` answers them; times are on the boot clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson


class Mark(NamedTuple):
    """One sign of life of a job's process. `what`: start, tick, saved or end."""

    job_id: str
    run_no: int
    pid: int
    what: str
    at: float


class NodeSample(NamedTuple):
    """A node document at a moment: vectors by dimension, the allocations by key of their run."""

    node_id: str
    at: float
    capacity: Mapping[str, int]
    free: Mapping[str, int]
    allocations: Mapping[str, Mapping[str, int]]


class ResourceSample(NamedTuple):
    """What a part of the stack held at a moment. `kind`: memory_mib, descriptors, connections or keys."""

    part: str
    kind: str
    at: float
    value: float


Heard = Mapping[tuple[str, int], str]
"""A subscriber's record: (job_id, seq) → the state that it went to."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured, and the most that it may be (None: only told)."""

    name: str
    value: float
    unit: str = "s"
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that was seen. `rest_at`: when nothing was left to do; None when that never came."""

    answered: Sequence[str] = ()
    jobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    marks: Sequence[Mark] = ()
    nodes: Sequence[NodeSample] = ()
    heard: Sequence[Heard] = ()
    resources: Sequence[ResourceSample] = ()
    figures: Sequence[Figure] = ()
    rest_at: float | None = None


def read_marks(file: Path) -> list[Mark]:
    """The marks of a witness file, in the order of the clock."""
    if not file.exists():
        return []
    lines = file.read_bytes().splitlines()
    return sorted((Mark(**orjson.loads(line)) for line in lines), key=lambda mark: mark.at)


def node_sample(document: Mapping[str, Any], at: float) -> NodeSample:
    """A node document as the ledger keeps it."""
    held = {key: allocation["vector"] for key, allocation in document["allocations"].items()}
    return NodeSample(document["_id"], at, document["capacity"], document["free"], held)
