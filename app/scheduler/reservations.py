"""Backfill with promises: what may start on a node that is promised to another.

At most one promise stands on a node. From the first candidate of each cycle on it holds against everybody but its
owner, and but those of a strictly higher class. Another job is admitted when, as far as is expected, the owner's start
is not put off, and in any case one of these is so: both fit beside each other once those have ended that must have by
the limit; or it must itself have ended by the limit; or it can be removed (preempted).

Theorem: then the owner starts by its limit however wrong the expectations are, unless the node is lost or a higher
class takes its room. The proof is in `docs/scheduling.md`. With expectations alone there is no such bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.promises import Promise
from app.domain.queueing import Demand
from app.domain.resources import Vector
from app.scheduler.placement import misses, score
from app.scheduler.pool import Pool, Room
from app.scheduler.profile import by_hard_end, by_soft_end, earliest, free_at


@dataclass(frozen=True, slots=True)
class Comer:
    """Who wants to start on a promised node: `rank` of its class; `removable`: it can be preempted."""

    demand: Demand
    rank: int
    removable: bool


def admits(room: Room, comer: Comer, now: int) -> bool:
    """Whether the comer may start in the room, for which there is space, without breaking its promise."""
    promise = room.promise
    if promise is None or comer.rank < promise.rank:
        return True
    theirs = promise.holds_of(room.node.capacity)
    both = theirs + room.holds_of(comer.demand)
    return _not_put_off(room, theirs, both, now + comer.demand.cautious, now) and (
        comer.removable
        or now + comer.demand.hard <= promise.limit
        or both.fits(free_at(promise.limit, room.free, room.holds, by_hard_end))
    )


def _not_put_off(room: Room, theirs: Vector, both: Vector, gone: int, now: int) -> bool:
    starts = earliest(theirs, room.free, room.holds, by_soft_end, now)
    if starts is None or gone <= starts:
        return True
    return both.fits(free_at(starts, room.free, room.holds, by_soft_end))


def keeps(room: Room, promise: Promise) -> bool:
    """Whether the room can hold its promise by the limit, whatever happens."""
    return promise.holds_of(room.node.capacity).fits(free_at(promise.limit, room.free, room.holds, by_hard_end))


@dataclass(frozen=True, slots=True)
class Slots:
    """The cluster-wide limit on runs, as promises see it. `hard_ends`: of all runs, ascending."""

    limit: int
    hard_ends: tuple[int, ...]

    def used_at(self, moment: int) -> int:
        """Runs that may still live then."""
        return sum(end > moment for end in self.hard_ends)

    def allow(self, hard_end: int, promises: Iterable[Promise]) -> bool:
        """Whether one run more, until `hard_end`, leaves a slot for each promise at its limit."""
        if not self.limit:
            return True
        limits = sorted(p.limit for p in promises)
        return all(
            self.used_at(limit) + (hard_end > limit) + n <= self.limit for n, limit in enumerate(limits, start=1)
        )

    def free_from(self, ahead: int, now: int) -> int:
        """From when on a slot is free at the latest, when `ahead` promises take theirs first."""
        over = len(self.hard_ends) + ahead + 1 - self.limit
        return now if not self.limit or over <= 0 else sorted(self.hard_ends)[min(over, len(self.hard_ends)) - 1]


def reserve(
    pool: Pool, slots: Slots, demand: Demand, job_id: str, rank: int, now: int, slack: int
) -> tuple[Room, Promise] | None:
    """The promise for a blocked job, on the node where it should start first; None when no unpromised node can hold
    it."""
    found = []
    for index in pool.matching(demand.selector):
        room = pool.rooms[index]
        vector = room.holds_of(demand)
        if room.promise is None and demand.vector.fits(room.node.capacity):
            starts = earliest(vector, room.free, room.holds, by_soft_end, now)
            if starts is not None:
                found.append((starts, _fit(demand, room, starts), index))
    if not found:
        return None
    room = pool.rooms[min(found)[-1]]
    hard = earliest(room.holds_of(demand), room.free, room.holds, by_hard_end, now)
    by = max(now if hard is None else hard, slots.free_from(len(pool.promises()), now))
    return room, Promise(job_id, room.node.id, by, by + slack, now, rank, demand)


def _fit(demand: Demand, room: Room, starts: int) -> tuple[int, ...]:
    free = free_at(starts, room.free, room.holds, by_soft_end)
    return score(demand.vector, room.node.capacity, free, misses(demand.prefer, room.node.labels))
