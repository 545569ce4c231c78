"""Changes that are supposed and never made, and what they would do: the words of what-if and of counterfactuals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.priority import Priority
from app.domain.queueing import Demand
from app.domain.resources import Vector

MOST_CHANGES = 100
MOST_ADDED_NODES = 1_000


@dataclass(frozen=True, slots=True)
class AddJob:
    """One job more, submitted now. `tenant`: whose."""

    tenant: str
    demand: Demand


@dataclass(frozen=True, slots=True)
class Cancel:
    """A waiting or running job is no more."""

    job_id: str


@dataclass(frozen=True, slots=True)
class SetPriority:
    """A waiting job asks for another class; a place given to it by hand is lost."""

    job_id: str
    priority: Priority


@dataclass(frozen=True, slots=True)
class SetResources:
    """A waiting job asks for so much, in units people use; what is left out stays."""

    job_id: str
    resources: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class WithoutSelector:
    """A waiting job may run on any node."""

    job_id: str


@dataclass(frozen=True, slots=True)
class MoveFirst:
    """A waiting job stands first in its class."""

    job_id: str


@dataclass(frozen=True, slots=True)
class AddNodes:
    """So many empty nodes of a kind more."""

    count: int
    kind: str


@dataclass(frozen=True, slots=True)
class DrainNode:
    """A node takes no more work."""

    node_id: str


Supposed = AddJob | Cancel | SetPriority | SetResources | WithoutSelector | MoveFirst | AddNodes | DrainNode


@dataclass(frozen=True, slots=True)
class NodeKind:
    """What a node that does not exist would be."""

    capacity: Vector
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """When a job starts and where it stands. `starts_at` None: not in sight; `position` None: it does not wait."""

    starts_at: datetime | None
    position: int | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A job that fares otherwise. None: it is not there then."""

    job_id: str
    before: Outcome | None
    after: Outcome | None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What changes do. `starts_now`: jobs that start at once with them and not without; `examined`: waiting jobs that
    were looked at one by one, of `waiting`."""

    at: datetime
    starts_now: tuple[str, ...]
    differences: tuple[Difference, ...]
    examined: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """One change that would have a job start sooner. `change`: in words; `supposed`: the change itself."""

    change: str
    supposed: Supposed
    starts_at: datetime | None
    position: int | None
