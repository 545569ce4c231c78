"""Promises that a cycle carries over from the one before: which still stand, and why the others fell."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.domain.nodes import NodeState, matches
from app.domain.priority import RANK
from app.domain.promises import OVERDUE_RANK, Promise
from app.domain.records import Waiting
from app.scheduler.pool import Pool, Room
from app.scheduler.reservations import keeps
from app.scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Revoked:
    """A promise that could not be kept. `cause`: `node_lost`, `node_drained`, `held_up` (a run on its node was paused,
    or outlived what the system enforces) or `higher_class`."""

    promise: Promise
    cause: str


def carry_over(snapshot: Snapshot, pool: Pool) -> list[Revoked]:
    """Put the promises that still stand into the pool; answers those that do not. A promise whose job waits no more,
    or asks for something else now, has simply ended."""
    rooms = {room.node.id: room for room in pool.rooms}
    revoked = []
    for promise in sorted(snapshot.promises, key=lambda p: (p.since, p.job_id)):
        waiting = snapshot.promised.get(promise.job_id)
        if waiting is None or waiting.member.demand.request != promise.demand.request:
            continue
        room = rooms.get(promise.node_id)
        cause = _broken(snapshot, room, promise)
        if cause is None and room is not None and room.promise is None:
            pool.promise(room, replace(promise, rank=_rank(snapshot, waiting), demand=waiting.member.demand))
        elif cause is not None:
            revoked.append(Revoked(promise, cause))
    return revoked


def _rank(snapshot: Snapshot, waiting: Waiting) -> int:
    first = snapshot.lane[0].member.job_id if snapshot.lane else None
    return OVERDUE_RANK if waiting.member.job_id == first else RANK[waiting.bucket.priority]


def _broken(snapshot: Snapshot, room: Room | None, promise: Promise) -> str | None:
    if room is None:
        states = {n.id: n.state for n in snapshot.nodes}
        return "node_drained" if states.get(promise.node_id) is NodeState.DRAINING else "node_lost"
    demand, node = promise.demand, room.node
    if not (demand.vector.fits(node.capacity) and matches(node.labels, dict(demand.selector))):
        return "node_lost"
    return None if keeps(room, promise) else "held_up"
