"""What outlives a cycle of the scheduler, and a change of leader: its credit, its promises, what tenants held; and
whether people have stopped the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.fairness import Usage
from app.domain.promises import Promise


@dataclass(frozen=True, slots=True)
class QueuePause:
    """While it stands nothing is placed; what runs goes on."""

    actor: str
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class SchedulerState:
    """`credit` of the guarantee lane in micro-cluster-seconds; `promises` in force; `usage` by tenant;
    `preempted`: when each run of the last hour that had to make way was asked to (µs since 2020)."""

    credit: int = 0
    promises: tuple[Promise, ...] = ()
    usage: Mapping[str, Usage] = field(default_factory=dict)
    preempted: tuple[int, ...] = ()
