"""When room comes free on a node: its live runs with the times at which they should end, and must."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from app.domain.priority import SECOND, Priority
from app.domain.queueing import Selector
from app.domain.resources import Vector

LEAST_OVERDUE = 30 * SECOND
"""A run that outlives its expectation is taken to last at least so much longer."""


@dataclass(frozen=True, slots=True)
class Live:
    """A run that holds an allocation. Times in µs since 2020; `mean_end` and `soft_end`: when it should end, in the
    mean and cautiously; `hard_end`: what the system enforces. `preempted`: how often it was already; `selector`: what
    it asked of its node, which no plan looks at."""

    job_id: str
    run_no: int
    tenant: str
    priority: Priority
    started: int
    soft_end: int
    hard_end: int
    mean_end: int = 0
    preemptible: bool = False
    preempted: int = 0
    has_checkpoint: bool = False
    paused: bool = False
    selector: Selector = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """What a run holds of a node, and until when."""

    vector: Vector
    soft_end: int
    hard_end: int


def corrected(live: Live, now: int) -> tuple[int, int]:
    """Soft and hard end as they are to be believed now. A soft end that has passed was wrong: it becomes half as long
    again as the run has taken (Tsafrir, Etsion, Feitelson, TPDS 2007); kill time and prediction are separate things."""
    hard = live.hard_end if live.hard_end > now else now + LEAST_OVERDUE
    soft = live.soft_end if live.soft_end > now else now + max(LEAST_OVERDUE, (now - live.started) // 2)
    return min(soft, hard), hard


def by_soft_end(hold: Hold) -> int:
    return hold.soft_end


def by_hard_end(hold: Hold) -> int:
    return hold.hard_end


End = Callable[[Hold], int]


def earliest(vector: Vector, free: Vector, holds: Sequence[Hold], end: End, now: int) -> int | None:
    """From when on the vector fits, when every hold ends at its `end`; None when never."""
    if vector.fits(free):
        return now
    for hold in sorted(holds, key=end):
        free = free + hold.vector
        if vector.fits(free):
            return end(hold)
    return None


def free_at(moment: int, free: Vector, holds: Iterable[Hold], end: End) -> Vector:
    """What is free when all holds that end by then have ended."""
    cpu, memory, gpu, storage = free.parts()
    for hold in holds:
        if end(hold) <= moment:
            v = hold.vector
            cpu, memory = cpu + v.cpu_millicores, memory + v.memory_mib
            gpu, storage = gpu + v.gpu, storage + v.storage_gib
    return Vector(cpu, memory, gpu, storage)
