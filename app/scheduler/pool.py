"""The planner's working copy of the nodes: what is still free while a plan grows.

Free only falls. Therefore what fits nowhere once fits nowhere for the rest of the plan, and a vector's ranking of nodes
has to be looked at again only where something was taken since: each ranking keeps a heap of scores and reads the log of
takings up to its end before it answers. A plan of P placements with V distinct requests over N nodes costs
O(V·N + V·P·log N), with P = what was placed, not what waits.

What must run alone goes where nothing is, and takes the whole node: then plain arithmetic keeps all others out.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.domain.nodes import Node, matches
from app.domain.queueing import Bucket, Request, Selector
from app.domain.resources import Vector
from app.scheduler.placement import Score, pick_gpus, score


class Taken(NamedTuple):
    """What was taken from a room: vector and GPUs, and those of the GPUs that the job may use."""

    vector: Vector
    gpu_indices: tuple[int, ...]
    job_gpus: tuple[int, ...]


@dataclass(slots=True)
class Room:
    """A node while a plan grows."""

    index: int
    node: Node
    free: Vector
    gpus: tuple[int, ...]
    version: int = 0

    @property
    def empty(self) -> bool:
        return not self.node.allocations and self.version == 0

    def fits(self, vector: Vector, alone: bool) -> bool:
        return vector.fits(self.free) and vector.gpu <= len(self.gpus) and (self.empty or not alone)


@dataclass(slots=True)
class Ranking:
    """The nodes that fit one request, best first: entries (score, index of the room, its version then)."""

    heap: list[tuple[Score, int, int]]
    rooms: frozenset[int]
    read: int = 0


@dataclass(slots=True)
class Pool:
    """Rooms by node id order, and what was taken from them."""

    rooms: tuple[Room, ...]
    slots: int | None
    """Slots left; None for no limit."""
    _takings: list[int] = field(default_factory=list)
    _matching: dict[Selector, tuple[int, ...]] = field(default_factory=dict)
    _ceilings: dict[Selector, Vector] = field(default_factory=dict)
    _rankings: dict[Request, Ranking] = field(default_factory=dict)

    @classmethod
    def of(cls, ready: Sequence[Node], slot_limit: int, slots_used: int) -> Pool:
        rooms = tuple(Room(i, n, n.free, n.free_gpus) for i, n in enumerate(ready))
        return cls(rooms, max(0, slot_limit - slots_used) if slot_limit else None)

    def matching(self, selector: Selector) -> tuple[int, ...]:
        """Indices of the rooms whose nodes carry the selector's labels."""
        if selector not in self._matching:
            wanted = dict(selector)
            self._matching[selector] = tuple(i for i, r in enumerate(self.rooms) if matches(r.node.labels, wanted))
        return self._matching[selector]

    def best(self, bucket: Bucket) -> Room | None:
        """The room that fits the bucket's request best, or None when it fits nowhere. Slots are not looked at."""
        ranking = self._ranking(bucket)
        while ranking.heap:
            _, index, version = ranking.heap[0]
            if self.rooms[index].version == version:
                return self.rooms[index]
            heapq.heappop(ranking.heap)
        return None

    def take(self, room: Room, bucket: Bucket) -> Taken:
        """Take what a member of the bucket holds there."""
        own = pick_gpus(room.gpus, bucket.vector.gpu)
        taken = Taken(room.node.capacity, room.gpus, own) if bucket.alone else Taken(bucket.vector, own, own)
        room.free = room.free - taken.vector
        room.gpus = tuple(i for i in room.gpus if i not in taken.gpu_indices)
        room.version += 1
        self._takings.append(room.index)
        if self.slots is not None:
            self.slots -= 1
        return taken

    def _most(self, selector: Selector) -> Vector:
        """The most that any matching room had in each dimension when first asked: what wants more fits nowhere."""
        if selector not in self._ceilings:
            free = [self.rooms[i].free.parts() for i in self.matching(selector)]
            self._ceilings[selector] = Vector(*(max(parts) for parts in zip(*free, strict=True)))
        return self._ceilings[selector]

    def _ranking(self, bucket: Bucket) -> Ranking:
        key = bucket.request
        ranking = self._rankings.get(key)
        if ranking is None:
            indices = self.matching(bucket.selector) if bucket.vector.fits(self._most(bucket.selector)) else ()
            ranking = Ranking(self._entries(bucket, indices), frozenset(indices), len(self._takings))
            heapq.heapify(ranking.heap)
            self._rankings[key] = ranking
            return ranking
        if ranking.heap:
            changed = set(self._takings[ranking.read :]) & ranking.rooms
            for entry in self._entries(bucket, sorted(changed)):
                heapq.heappush(ranking.heap, entry)
        ranking.read = len(self._takings)
        return ranking

    def _entries(self, bucket: Bucket, indices: Sequence[int]) -> list[tuple[Score, int, int]]:
        vector = bucket.vector
        known: dict[tuple[Vector, Vector], Score] = {}
        entries = []
        for index in indices:
            room = self.rooms[index]
            if not room.fits(vector, bucket.alone):
                continue
            kind = room.node.capacity, room.free
            if kind not in known:
                known[kind] = score(vector, *kind)
            entries.append((known[kind], index, room.version))
        return entries
