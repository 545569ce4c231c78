"""When waiting jobs should start: a forward pass over buckets with expected durations.

The state is free vectors, ends of running jobs, and buckets with counts. Fill at now; then take the earliest end, and
on that node start the next in order while they fit. With many waiting, `chain` consecutive members of a bucket start as
one, one after another, so that the pass makes at most `MOST_STARTS` starts however many wait; a bound on the number of
looks keeps its time bounded with many buckets too. What it does not reach is left to the pace.

Left out, on purpose: jobs yet to come, and reservations.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.estimates import Forecast
from app.domain.nodes import matches
from app.domain.priority import RANK, order_key
from app.domain.queueing import Bucket
from app.domain.records import BucketHead
from app.domain.resources import Vector
from app.scheduler.snapshot import Snapshot

POINTS = 32
MOST_STARTS = 4_000
MOST_LOOKS = 200_000
NOT_IN_SIGHT = 86_400.0
"""Seconds told for a bucket that no node can hold as things stand: not within a day."""

UNKNOWN = 60.0
"""Seconds for what nothing at all is known of."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Seconds: what a member of a bucket should take, by bucket id; until a live run ends, by (job_id, run_no)."""

    durations: Mapping[str, float]
    remaining: Mapping[tuple[str, int], float]
    otherwise: float = UNKNOWN


@dataclass(slots=True)
class Queue:
    """A bucket in the pass. Keys of later members are taken to lie evenly between the head's and now."""

    head: BucketHead
    number: int
    duration: float
    step: float
    nodes: frozenset[int]
    starts: list[float] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.head.count - len(self.starts)

    def turn(self) -> tuple[int, float, int]:
        """Where its next member stands in the order."""
        first = self.head.members[0].key if self.head.members else 0.0
        return RANK[self.head.bucket.priority], first + self.step * len(self.starts), self.number


def forecast(snapshot: Snapshot, expected: Expected, at: datetime, pace: float) -> Forecast:
    """The forecast for a snapshot after its placements. `pace` is kept when nothing better can be said."""
    world = World(snapshot, expected, at)
    world.run()
    buckets = {q.head.bucket_id: points(q.starts) for q in world.queues if q.starts}
    for queue in world.queues:
        if not queue.nodes:
            buckets[queue.head.bucket_id] = ((1, NOT_IN_SIGHT),)
    starts = sorted(start for q in world.queues for start in q.starts)
    span = starts[-1] - starts[0] if starts else 0.0
    return Forecast(at, buckets, span / (len(starts) - 1) if span > 0 else pace)


def points(starts: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """At most 32 pairs (place, seconds) of a bucket's start times, the first and the last among them."""
    ordered = sorted(starts)
    last = len(ordered) - 1
    places = sorted({round(n * last / (POINTS - 1)) for n in range(POINTS)}) if last >= POINTS else range(last + 1)
    return tuple((place + 1, round(ordered[place], 3)) for place in places)


class World:
    """The state of the pass. Times are seconds after its beginning."""

    def __init__(self, snapshot: Snapshot, expected: Expected, at: datetime) -> None:
        ready = snapshot.ready
        self.free = [n.free for n in ready]
        self.capacity = [n.capacity for n in ready]
        self.slots = snapshot.slot_limit - snapshot.slots_used if snapshot.slot_limit else snapshot.waiting
        self.looks = MOST_LOOKS
        self.chain = -(-snapshot.waiting // MOST_STARTS)
        self.queues = _queues(snapshot, expected, at)
        self._turns = [(q.turn(), q) for q in self.queues if q.nodes and q.left]
        heapq.heapify(self._turns)
        index = {n.id: i for i, n in enumerate(ready)}
        self._ends = [
            (expected.remaining.get((a.job_id, a.run_no), expected.otherwise), index.get(node.id, -1), a.vector)
            for node in snapshot.nodes
            for a in node.allocations
        ]
        heapq.heapify(self._ends)

    def run(self) -> None:
        """Play until everything that can start has started, or the bound on looks is met."""
        everywhere = range(len(self.free))
        nodes: Sequence[int] = everywhere
        now = 0.0
        while True:
            slots_ran_out = self._fill(now, nodes)
            if not (self._ends and self._turns and self.looks > 0):
                return
            now, index, vector = heapq.heappop(self._ends)
            self.slots += 1
            if index >= 0:
                self.free[index] = self.free[index] + vector
            nodes = everywhere if slots_ran_out else [index] if index >= 0 else []

    def _fill(self, now: float, nodes: Sequence[int]) -> bool:
        """Start in order what fits on these nodes; answers whether slots ran out first."""
        passed = []
        while self._turns and self.slots > 0 and self.looks > 0:
            entry = heapq.heappop(self._turns)
            queue = entry[1]
            index = self._room(queue, nodes)
            if index is None:
                passed.append(entry)
                continue
            self._start(queue, index, now)
            if queue.left:
                heapq.heappush(self._turns, (queue.turn(), queue))
        for entry in passed:
            heapq.heappush(self._turns, entry)
        return self.slots <= 0

    def _room(self, queue: Queue, nodes: Sequence[int]) -> int | None:
        bucket = queue.head.bucket
        for index in nodes:
            self.looks -= 1
            if index in queue.nodes and self._holds(bucket, index).fits(self.free[index]):
                return index
        return None

    def _holds(self, bucket: Bucket, index: int) -> Vector:
        """What a member holds on a node; one that runs alone holds all of it, for which it must be empty."""
        return self.capacity[index] if bucket.alone else bucket.vector

    def _start(self, queue: Queue, index: int, now: float) -> None:
        together = min(self.chain, queue.left)
        queue.starts.extend(now + n * queue.duration for n in range(together))
        vector = self._holds(queue.head.bucket, index)
        self.free[index] = self.free[index] - vector
        self.slots -= 1
        heapq.heappush(self._ends, (now + together * queue.duration, index, vector))


def _queues(snapshot: Snapshot, expected: Expected, at: datetime) -> list[Queue]:
    now_key = order_key(at)
    able: dict[tuple[Vector, tuple[tuple[str, str], ...]], frozenset[int]] = {}
    queues = []
    for number, head in enumerate(snapshot.heads):
        bucket = head.bucket
        key = bucket.vector, bucket.selector
        if key not in able:
            selector = dict(bucket.selector)
            able[key] = frozenset(
                i
                for i, n in enumerate(snapshot.ready)
                if bucket.vector.fits(n.capacity) and matches(n.labels, selector)
            )
        first = head.members[0].key if head.members else now_key
        step = max(0.0, now_key - first) / max(1, head.count)
        duration = expected.durations.get(head.bucket_id, expected.otherwise)
        queues.append(Queue(head, number, duration, step, able[key]))
    return queues
