"""The planner's working copy of the nodes: what is still free, and what is promised, while a plan grows.

Free only falls. Therefore what fits nowhere once fits nowhere for the rest of the plan, and a request's ranking of
nodes has to be looked at again only where something was taken since: each ranking keeps a heap of scores and reads the
log of changes up to its end before it answers. A plan of P placements with V distinct requests over N nodes costs
O(V·N + V·P·log N), with P = what was placed, not what waits. The few nodes with a promise are looked at one by one.

What must run alone goes where nothing is, and takes the whole node: then plain arithmetic keeps all others out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.domain.nodes import Node, matches
from app.domain.promises import Promise
from app.domain.queueing import Demand, Selector
from app.domain.resources import Vector
from app.scheduler.fitting import Fitting, places
from app.scheduler.placement import Score, misses, pick_gpus, score
from app.scheduler.profile import Hold

Wish = tuple[Vector, Selector, bool, Selector]
"""What is asked of a node, and which labels are liked."""


class Taken(NamedTuple):
    """What was taken from a room: vector and GPUs, and those of the GPUs that the job may use."""

    vector: Vector
    gpu_indices: tuple[int, ...]
    job_gpus: tuple[int, ...]


@dataclass(slots=True)
class Room:
    """A node while a plan grows. `of_node`: what its runs hold, asked only where something is promised; `shape`: the
    same number for equal capacities."""

    index: int
    node: Node
    shape: int
    free: Vector
    gpus: tuple[int, ...]
    of_node: Callable[[Node], list[Hold]]
    promise: Promise | None = None
    version: int = 0
    occupied: bool = False
    _taken: list[Hold] = field(default_factory=list)
    _holds: list[Hold] | None = None

    @property
    def holds(self) -> Sequence[Hold]:
        """What its runs hold, those placed by the plan included."""
        if self._holds is None:
            self._holds = [*self.of_node(self.node), *self._taken]
        return self._holds

    def hold(self, more: Hold) -> None:
        """A placement."""
        (self._taken if self._holds is None else self._holds).append(more)

    def fits(self, demand: Demand) -> bool:
        vector = demand.vector
        return vector.fits(self.free) and vector.gpu <= len(self.gpus) and not (self.occupied and demand.alone)

    def holds_of(self, demand: Demand) -> Vector:
        """What a job with that demand holds here."""
        return self.node.capacity if demand.alone else demand.vector


@dataclass(slots=True)
class Ranking:
    """The nodes that fit one wish, best first: entries (score, index of the room, its version then)."""

    heap: list[tuple[Score, int, int]]
    rooms: frozenset[int]
    read: int = 0


@dataclass(slots=True)
class Pool:
    """Rooms by node id order, and what has changed in them."""

    rooms: tuple[Room, ...]
    _changes: list[int] = field(default_factory=list)
    _promised: dict[str, Room] = field(default_factory=dict)
    _by_index: list[Room] | None = None
    _in_force: tuple[Promise, ...] | None = None
    _matching: dict[Selector, tuple[int, ...]] = field(default_factory=dict)
    _fitting: Fitting | None = None
    _rankings: dict[Wish, Ranking] = field(default_factory=dict)

    @classmethod
    def of(cls, ready: Sequence[Node], holds: Callable[[Node], list[Hold]]) -> Pool:
        """`holds`: what runs hold of a node."""
        shapes: dict[Vector, int] = {}
        rooms = []
        for index, node in enumerate(ready):
            shape = shapes.setdefault(node.capacity, len(shapes))
            rooms.append(Room(index, node, shape, node.free, node.free_gpus, holds, occupied=bool(node.allocations)))
        return cls(tuple(rooms))

    def matching(self, selector: Selector) -> tuple[int, ...]:
        """Indices of the rooms whose nodes carry the selector's labels."""
        if selector not in self._matching:
            wanted = dict(selector)
            self._matching[selector] = tuple(i for i, r in enumerate(self.rooms) if matches(r.node.labels, wanted))
        return self._matching[selector]

    def best(self, demand: Demand, job_id: str, admits: Callable[[Room], bool]) -> Room | None:
        """The room that suits best, or None when it fits nowhere; of those that are promised to others only such as
        `admits` it. A promised one goes behind others that suit equally well but for what is left of them."""
        top = self._top(demand)
        found = [] if top is None else [(*top[0][:4], 0, top[0][4], top[1])]
        for room in self.promised_fits(demand):
            own = room.promise is not None and room.promise.job_id == job_id
            if own or admits(room):
                points = self._score(demand, room)
                found.append((*points[:4], int(not own), points[4], room.index))
        return self.rooms[min(found)[-1]] if found else None

    def able(self, demand: Demand) -> list[Room]:
        """Those that could hold it when empty."""
        rooms = (self.rooms[i] for i in self.matching(demand.selector))
        return [room for room in rooms if demand.vector.fits(room.node.capacity)]

    def promised_fits(self, demand: Demand) -> list[Room]:
        """Promised rooms that have room for it now, by node id."""
        rooms = [room for room in self._promised_rooms() if room.fits(demand)]
        if not demand.selector:
            return rooms
        wanted = dict(demand.selector)
        return [room for room in rooms if matches(room.node.labels, wanted)]

    def promise(self, room: Room, promise: Promise | None) -> None:
        """Promise a room to a job, or to nobody any more."""
        if room.promise is not None:
            self._promised.pop(room.promise.job_id, None)
        room.promise = promise
        if promise is not None:
            self._promised[promise.job_id] = room
        self._by_index, self._in_force = None, None
        self._changed(room)

    def room_promised_to(self, job_id: str) -> Room | None:
        return self._promised.get(job_id)

    def promises(self) -> tuple[Promise, ...]:
        """Those in force, oldest first."""
        if self._in_force is None:
            found = [r.promise for r in self._promised.values() if r.promise is not None]
            self._in_force = tuple(sorted(found, key=lambda p: (p.since, p.job_id)))
        return self._in_force

    def _promised_rooms(self) -> list[Room]:
        if self._by_index is None:
            self._by_index = sorted(self._promised.values(), key=lambda r: r.index)
        return self._by_index

    def take(self, room: Room, demand: Demand, soft_end: int, hard_end: int) -> Taken:
        """Take what a job with that demand holds there, until then."""
        own = pick_gpus(room.gpus, demand.vector.gpu)
        taken = Taken(room.node.capacity, room.gpus, own) if demand.alone else Taken(demand.vector, own, own)
        room.free = room.free - taken.vector
        room.gpus = tuple(i for i in room.gpus if i not in taken.gpu_indices)
        room.hold(Hold(taken.vector, soft_end, hard_end))
        room.occupied = True
        self._changed(room)
        return taken

    def _changed(self, room: Room) -> None:
        room.version += 1
        self._changes.append(room.index)

    def _that_may_fit(self, demand: Demand) -> tuple[int, ...]:
        """Indices of the rooms whose nodes match, and that had space when first asked: no other has it since."""
        if self._fitting is None:
            self._fitting = Fitting([room.free for room in self.rooms])
        found = places(self._fitting.holding(demand.vector))
        if not demand.selector:
            return tuple(found)
        wanted = set(self.matching(demand.selector))
        return tuple(index for index in found if index in wanted)

    def _top(self, demand: Demand) -> tuple[Score, int] | None:
        """The best of the rooms that nobody is promised."""
        ranking = self._ranking(demand)
        while ranking.heap:
            points, index, version = ranking.heap[0]
            if self.rooms[index].version == version:
                return points, index
            heapq.heappop(ranking.heap)
        return None

    def _ranking(self, demand: Demand) -> Ranking:
        key = (*demand.request, demand.prefer)
        ranking = self._rankings.get(key)
        if ranking is None:
            indices = self._that_may_fit(demand)
            ranking = Ranking(self._entries(demand, indices), frozenset(indices), len(self._changes))
            heapq.heapify(ranking.heap)
            self._rankings[key] = ranking
            return ranking
        if ranking.read < len(self._changes):
            changed = set(self._changes[ranking.read :]) & ranking.rooms
            for entry in self._entries(demand, sorted(changed)):
                heapq.heappush(ranking.heap, entry)
            ranking.read = len(self._changes)
        return ranking

    def _entries(self, demand: Demand, indices: Sequence[int]) -> list[tuple[Score, int, int]]:
        known: dict[tuple[int, int, tuple[int, int, int, int]], Score] = {}
        entries = []
        for index in indices:
            room = self.rooms[index]
            if room.promise is not None or not room.fits(demand):
                continue
            missed = misses(demand.prefer, room.node.labels) if demand.prefer else 0
            kind = missed, room.shape, room.free.parts()
            if kind not in known:
                known[kind] = score(demand.vector, room.node.capacity, room.free, missed)
            entries.append((known[kind], index, room.version))
        return entries

    def _score(self, demand: Demand, room: Room) -> Score:
        return score(demand.vector, room.node.capacity, room.free, misses(demand.prefer, room.node.labels))
