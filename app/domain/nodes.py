"""Nodes: what a worker advertises, and the ledger of what is allocated on it.

The node document is the ledger: `free` plus the sum of `allocations` is always `capacity`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.domain.resources import Vector, total


class NodeState(StrEnum):
    """READY takes work, DRAINING finishes what it has, LOST let its lease run out."""

    READY = "READY"
    DRAINING = "DRAINING"
    LOST = "LOST"


@dataclass(frozen=True, slots=True)
class Drain:
    """The wish that a node takes no more work, until it is taken back. `patient`: its runs end by themselves, however
    long that takes; so the fleet shrinks, while a user's wish gives them a grace."""

    actor: str
    reason: str | None
    at: datetime
    patient: bool = False


@dataclass(frozen=True, slots=True)
class Allocation:
    """What one run holds on a node."""

    job_id: str
    run_no: int
    vector: Vector
    gpu_indices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a node says of itself at a beat: what its runs use now, and how many late writes of it were refused since it
    began to count (`since`), by kind."""

    at: datetime
    since: datetime
    cpu_cores: float = 0.0
    memory_mib: float = 0.0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    """A node and its ledger. `logical`: the capacity is advertised, not detected."""

    id: str
    state: NodeState
    epoch: int
    labels: Mapping[str, str]
    capacity: Vector
    free: Vector
    logical: bool = False
    allocations: tuple[Allocation, ...] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    registered_at: datetime | None = None
    lease_until: datetime | None = None
    drain: Drain | None = None
    report: NodeReport | None = None

    @property
    def allocated(self) -> Vector:
        return total([a.vector for a in self.allocations])

    @property
    def free_gpus(self) -> tuple[int, ...]:
        """GPU indices that no allocation holds, ascending."""
        taken = {i for a in self.allocations for i in a.gpu_indices}
        return tuple(i for i in range(self.capacity.gpu) if i not in taken)


def functions_of(nodes: Collection[Node]) -> frozenset[str] | None:
    """Names of the steps that packages on these nodes offer; None where a node has not said, or none has registered."""
    said = [node.facts.get("functions") for node in nodes]
    texts = [text for text in said if isinstance(text, str)]
    return frozenset(name for text in texts for name in text.split()) if said and len(texts) == len(said) else None


def matches(node_labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether a node carries every label of the selector."""
    return all(node_labels.get(k) == v for k, v in selector.items())
