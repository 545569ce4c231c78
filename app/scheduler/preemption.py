"""Whom an urgent job that is blocked may have make way, and where. Off unless the rules say otherwise.

On each node the runs that may be preempted are taken in the order (lowest class, tenant furthest above its share, with
a checkpoint, latest start) until the job fits, and then those that turn out not to be needed are put back, so that the
set is minimal (as in the last step of Kueue's preemption). The node is the one where least is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from app.domain.ageing import dominant
from app.domain.priority import RANK, SECOND
from app.domain.queueing import Demand
from app.domain.resources import Vector, total
from app.scheduler.pool import Room
from app.scheduler.profile import Live, by_soft_end, corrected, earliest
from app.scheduler.snapshot import Snapshot

LEAST_RUN = 60 * SECOND
"""A run younger than this is let be; and one that should end so soon after the grace is waited for."""
MOST_TIMES = 2
"""So often a run of one job may have to make way."""
UNWIND = 30 * SECOND
"""Beyond its grace, until a preempted run has left its node at the latest."""
A_MINUTE, AN_HOUR = 60 * SECOND, 3_600 * SECOND
PER_MINUTE, HOURLY_SHARE, LEAST_HOURLY = 2, 0.05, 2
"""Preemptions: so many urgent jobs a minute may ask for them, and so large a share of the live runs an hour may be
hit, but at least so many."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """A run that is to make way on a node for a job."""

    job_id: str
    run_no: int
    node_id: str
    beneficiary: str


@dataclass(frozen=True, slots=True)
class _Choice:
    """What making room on one node would cost; the smallest is taken."""

    best_class_hurt: int
    lost: int
    victims: tuple[tuple[Live, Vector], ...]
    room: Room

    def key(self) -> tuple[int, int, int, int]:
        return -self.best_class_hurt, self.lost, len(self.victims), self.room.index


def waits_long(promised: Room | None, demand: Demand, now: int, grace: int) -> bool:
    """Whether a job should wait so long without a preemption that one is worth it. `promised`: its room, if any."""
    if promised is None:
        return True
    starts = earliest(promised.holds_of(demand), promised.free, promised.holds, by_soft_end, now)
    return starts is None or starts - now > grace + LEAST_RUN


def within_budget(snapshot: Snapshot) -> bool:
    """Whether another preemption may be asked for now."""
    recent = [at for at in snapshot.preempted if snapshot.now - at < AN_HOUR]
    hourly = max(LEAST_HOURLY, ceil(HOURLY_SHARE * len(snapshot.live)))
    last_minute = {at for at in recent if snapshot.now - at < A_MINUTE}
    return len(last_minute) < PER_MINUTE and len(recent) < hourly


def make_way(
    snapshot: Snapshot, rooms: Sequence[Room], demand: Demand, job_id: str, rank: int, level: Callable[[str], float]
) -> tuple[Room, tuple[Eviction, ...]] | None:
    """Where the job of class `rank` gets room, and which runs make way for it; None when no node can be cleared.
    `rooms`: those that may be used; `level`: of a tenant, as `Shares.level`."""
    found = [choice for room in rooms if (choice := _choice(snapshot, room, demand, rank, level)) is not None]
    if not found:
        return None
    best = min(found, key=_Choice.key)
    node = best.room.node.id
    return best.room, tuple(Eviction(live.job_id, live.run_no, node, job_id) for live, _ in best.victims)


def _choice(snapshot: Snapshot, room: Room, demand: Demand, rank: int, level: Callable[[str], float]) -> _Choice | None:
    needed = room.holds_of(demand)
    candidates = _candidates(snapshot, room, rank, level)
    taken: list[tuple[Live, Vector]] = []
    free = room.free
    for live, vector in candidates:
        if needed.fits(free):
            break
        taken.append((live, vector))
        free = free + vector
    if not needed.fits(free):
        return None
    victims = _without_the_needless(taken, room.free, needed)
    best = min(RANK[live.priority] for live, _ in victims) if victims else len(RANK)
    return _Choice(best, sum(_lost(snapshot, live, vector) for live, vector in victims), victims, room)


def _candidates(snapshot: Snapshot, room: Room, rank: int, level: Callable[[str], float]) -> list[tuple[Live, Vector]]:
    """Those of the node that may be preempted, the first to be taken first."""
    known = ((snapshot.live.get((a.job_id, a.run_no)), a.vector) for a in room.node.allocations)
    able = [(live, vector) for live, vector in known if live is not None and _may_go(snapshot, live, rank)]

    def order(pair: tuple[Live, Vector]) -> tuple[int, float, bool, int, str]:
        live = pair[0]
        return -RANK[live.priority], -level(live.tenant), not live.has_checkpoint, -live.started, live.job_id

    return sorted(able, key=order)


def _may_go(snapshot: Snapshot, live: Live, rank: int) -> bool:
    soft, _ = corrected(live, snapshot.now)
    soon = snapshot.now + snapshot.rules.preempt_grace + LEAST_RUN
    young = snapshot.now - live.started < LEAST_RUN
    lower = RANK[live.priority] > rank
    return live.preemptible and lower and not (live.paused or young) and soft >= soon and live.preempted < MOST_TIMES


def _without_the_needless(
    taken: Sequence[tuple[Live, Vector]], free: Vector, needed: Vector
) -> tuple[tuple[Live, Vector], ...]:
    kept = list(taken)
    for pair in reversed(taken):
        without = [p for p in kept if p is not pair]
        if needed.fits(free + total([vector for _, vector in without])):
            kept = without
    return tuple(kept)


def _lost(snapshot: Snapshot, live: Live, vector: Vector) -> int:
    """Work that is done again, in micro-cluster-seconds; what has a checkpoint loses nothing to speak of."""
    seconds = 0 if live.has_checkpoint else snapshot.now - live.started
    return round(seconds * dominant(vector, snapshot.capacity))
