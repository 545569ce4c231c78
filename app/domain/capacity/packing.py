"""Which nodes so many slots need: first-fit decreasing by dominant share, then the cheapest type that fits.

Runs stay where they are; slots go into what is free, then onto new nodes. Of the nodes there are, those are not needed
whose runs and slots fit into what is free elsewhere: tried from the emptiest on, so that a fleet that is spread thin is
drawn together although nothing is ever moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.domain.ageing import dominant
from app.domain.capacity.fleet import FleetNode, holds
from app.domain.capacity.kinds import NodeType, NodeTypes
from app.domain.capacity.loads import Load
from app.domain.priority import RANK, Priority
from app.domain.queueing import Request
from app.domain.resources import Vector

GIVE_UP = 8
"""So many nodes in a row that cannot be done without, and the fuller ones are not tried."""


@dataclass(slots=True)
class Bin:
    """A node while it is filled. `node`: None for one that is not there yet."""

    node: FleetNode | None
    type: str | None
    capacity: Vector
    labels: Mapping[str, str]
    free: Vector
    untouched: bool
    loads: list[Load] = field(default_factory=list)

    def room_for(self, request: Request) -> int:
        """How many of these it can take."""
        vector, _, alone = request
        if not vector.fits(self.free) or (alone and not self.untouched):
            return 0
        if not holds(request, self.capacity, self.labels):
            return 0
        return 1 if alone else vector.times_in(self.free)

    def take(self, load: Load) -> None:
        """For which there is room."""
        vector, _, alone = load.request
        self.free = Vector() if alone else self.free - times(vector, load.count)
        self.untouched = False
        self.loads.append(load)

    @property
    def rank(self) -> int:
        """That of its most urgent slot."""
        return min((RANK[load.priority] for load in self.loads), default=len(RANK))


def of_node(node: FleetNode) -> Bin:
    """What is free of a node."""
    return Bin(node, node.type, node.capacity, node.labels, node.free, not node.runs)


def of_type(kind: NodeType) -> Bin:
    """A node that is not there yet."""
    return Bin(None, kind.name, kind.capacity, kind.all_labels, kind.capacity, untouched=True)


def decreasing(loads: Iterable[Load], capacity: Vector) -> list[Load]:
    """Largest dominant share first."""

    def order(load: Load) -> tuple[float, Request, int, float]:
        return -dominant(load.request[0], capacity), load.request, RANK[load.priority], load.mean

    return sorted(loads, key=order)


@dataclass(slots=True)
class Packing:
    """`bins` grow; `room`: how many more nodes of each type there may be; `unplaced`: what found no place."""

    types: NodeTypes
    bins: list[Bin]
    room: dict[str, int]
    unplaced: list[Load] = field(default_factory=list)

    def put_all(self, loads: Iterable[Load], capacity: Vector) -> list[Bin]:
        """Place them, decreasing; answers the new nodes that they need."""
        before = len(self.bins)
        for load in decreasing(loads, capacity):
            self._put(load)
        return self.bins[before:]

    def _put(self, load: Load) -> None:
        left = fill(load, self.bins)
        while left:
            kind = self._cheapest(load.request, left)
            if kind is None:
                self.unplaced.append(replace(load, count=left))
                return
            self.room[kind.name] -= 1
            self.bins.append(of_type(kind))
            left = fill(replace(load, count=left), self.bins[-1:])

    def _cheapest(self, request: Request, count: int) -> NodeType | None:
        """The type that costs least for each slot that it would hold; of such the smallest."""
        able = []
        for name, kind in self.types.items():
            held = of_type(kind).room_for(request) if self.room.get(name, 0) > 0 else 0
            if held:
                able.append((kind.price / min(count, held), kind.capacity, name))
        return self.types[min(able)[-1]] if able else None


def fill(load: Load, bins: Sequence[Bin]) -> int:
    """Place as many as can be, first fit; answers how many are left."""
    left = load.count
    for one in bins:
        if not left:
            break
        taken = min(left, one.room_for(load.request))
        if taken:
            one.take(replace(load, count=taken))
            left -= taken
    return left


def spared(bins: Sequence[Bin], able: Iterable[Bin]) -> list[Bin]:
    """Those of the `able` bins, in their order, whose contents fit into the rest of all the others."""
    kept, gone, failures = list(bins), [], 0
    for one in able:
        others = [b for b in kept if b is not one]
        if _rehoused(one, others):
            kept, failures = others, 0
            gone.append(one)
        else:
            failures += 1
            if failures >= GIVE_UP:
                break
    return gone


def _rehoused(one: Bin, others: Sequence[Bin]) -> bool:
    """Put what a bin holds into the others, or leave them as they are."""
    moving = _contents(one)
    if not moving:
        return True
    before = [(b, b.free, b.untouched, len(b.loads)) for b in others]
    if not any(fill(load, others) for load in moving):
        return True
    for other, free, untouched, length in before:
        other.free, other.untouched = free, untouched
        del other.loads[length:]
    return False


def _contents(one: Bin) -> list[Load]:
    """Its slots, and its runs, whose successors ask for places like theirs."""
    runs = Counter(one.node.runs if one.node else ())
    stay = [Load(request, count, Priority.LOW) for request, count in runs.items()]
    return decreasing([*stay, *one.loads], one.capacity)


def times(vector: Vector, count: int) -> Vector:
    """So many of it."""
    return Vector(*(part * count for part in vector.parts()))
