"""What is to be packed: slots for jobs that wait, and for jobs yet to come.

Jobs yet to come first take the places of runs like them that should end by then, and what is left is counted together
over all requests of a class: a slot for each of many rare ones would be a fleet that mostly stands idle. Of each class
that keeps coming there is room for the next one at least, else a fleet that is just large enough would turn at each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil

from app.domain.ageing import dominant
from app.domain.capacity.fleet import Fleet, Stream, Want
from app.domain.capacity.slots import TARGETS, coming, slots, with_headroom
from app.domain.priority import RANK, Priority
from app.domain.queueing import Request
from app.domain.resources import Vector

NEVER = 86_400.0
"""Seconds that a job is taken to wait whose start is not in sight."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`targets`: seconds within which a job of a class is to start; `prices`: what an hour that a job of a class need
    not wait is worth, where anything; `window`: seconds over which the fleet shrinks to the most that was wanted;
    `span`: seconds over which arrivals are averaged."""

    targets: Mapping[Priority, float] = field(default_factory=lambda: TARGETS)
    prices: Mapping[Priority, float] = field(default_factory=dict)
    window: float = 600.0
    span: float = 900.0


@dataclass(frozen=True, slots=True)
class Load:
    """So many slots of one request. `jobs`: that each of them is to start; `mean`: seconds of one; `spared`: seconds
    that a job would wait without a node more."""

    request: Request
    count: int
    priority: Priority
    jobs: float = 1.0
    mean: float = 0.0
    spared: float = 0.0


def needed(want: Want, target: float) -> int:
    """Slots with which the jobs that wait start in time, a tenth more than it takes."""
    return with_headroom(slots(want.waiting, want.mean, target))


def load_of(want: Want, target: float) -> Load:
    """Those of them that their tenant's quota allows. The jobs start evenly until the last does."""
    count = needed(want, target)
    last = NEVER if want.starts_in is None else want.starts_in
    spared = last * (want.waiting + 1) / (2 * want.waiting)
    allowed = count if want.most is None else min(count, want.most)
    return Load(want.request, allowed, want.priority, want.waiting / count, want.mean, spared)


def is_late(want: Want, target: float, boot: float) -> bool:
    """Whether the last should start later than a new node could have it start, and too late for its target by the time
    that a node takes to come."""
    if want.starts_in is None:
        return True
    return want.starts_in > boot and want.waited + want.starts_in > target - boot


def loads_to_come(fleet: Fleet, rules: Rules, capacity: Vector) -> list[Load]:
    """The slots of jobs yet to come: of each class larger ones first, and at least one."""
    ends = {vector: sorted(times) for vector, times in fleet.ends.items()}
    found: list[Load] = []
    for priority in Priority:
        streams = [s for s in fleet.streams if s.priority is priority]
        streams.sort(key=lambda s: (-dominant(s.request[0], capacity), s.request, s.mean))
        slots_of_class = list(_pooled(streams, rules.targets[priority], ends))
        if streams and not slots_of_class:
            next_one = max(streams, key=lambda s: (s.rate, s.request, s.mean))
            slots_of_class = [_coming(next_one, 1)]
        found += slots_of_class
    return found


def _pooled(streams: Iterable[Stream], target: float, ends: dict[Vector, list[float]]) -> Iterator[Load]:
    over = 0.0
    for stream in streams:
        over += _not_replacing(stream, target, ends)
        if over >= 1.0:
            yield _coming(stream, int(over))
            over -= int(over)


def _coming(stream: Stream, count: int) -> Load:
    return Load(stream.request, count, stream.priority, 1.0, stream.mean)


def _not_replacing(stream: Stream, target: float, ends: dict[Vector, list[float]]) -> float:
    """Slots of a stream, less one for each run like them that ends, of as many as it would take: what is over of the
    place of a run is for smaller ones. Those runs are used up."""
    wanted = coming(stream.rate, stream.mean, target)
    times = ends.get(stream.request[0], [])
    horizon = min(stream.mean, target)
    ending = min(sum(at <= horizon for at in times), ceil(wanted))
    del times[:ending]
    return wanted - ending


def within_slots(loads: Iterable[Load], left: int | None) -> list[Load]:
    """As many as may run at once, the most urgent first."""
    kept: list[Load] = []
    for load in sorted(loads, key=lambda one: RANK[one.priority]):
        count = load.count if left is None else min(load.count, left)
        left = None if left is None else left - count
        if count > 0:
            kept.append(replace(load, count=count))
    return kept
