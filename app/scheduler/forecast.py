"""When waiting jobs should start: a forward pass over buckets with expected durations.

The state is free vectors, ends of running jobs, and buckets with counts. Fill at now; then take the earliest end, and
on that node start the next in order while they fit. With many waiting, `chain` consecutive members of a bucket start as
one, one after another, so that the pass makes at most `MOST_STARTS` starts however many wait; a bound on the number of
looks keeps its time bounded with many buckets too. What it does not reach is left to the pace.

A job may come to a bucket that is empty now. So those that were not empty lately are probed: each with one job that
came now, which is told when it would start and takes nothing from the others.

Left out, on purpose: reservations and the lane; their effect is inside the measured errors. Jobs of higher classes yet
to come enter as a loss of capacity.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.domain.estimates import Forecast
from app.domain.nodes import Allocation, Node, matches
from app.domain.priority import RANK, SECOND, Priority, moment
from app.domain.queueing import Demand, Request
from app.domain.records import BucketHead
from app.domain.resources import Vector
from app.scheduler.planner import shares_of
from app.scheduler.snapshot import UNKNOWN_SOFT, Snapshot

LEAST_DURATION = 0.001
MOST_LOSS = 0.9
POINTS = 32
MOST_STARTS = 4_000
MOST_LOOKS, MOST_PROBING_LOOKS = 200_000, 100_000
NOT_IN_SIGHT = 86_400.0
"""Seconds told for a bucket that no node can hold as things stand: not within a day."""


@dataclass(slots=True)
class Queue:
    """A bucket in the pass. Keys of later members are taken to lie evenly between the head's and now."""

    head: BucketHead
    demand: Demand
    number: int
    band: int
    step: float
    nodes: frozenset[int]
    probe: bool = False
    starts: list[float] = field(default_factory=list)

    @property
    def duration(self) -> float:
        """Seconds that a member takes in the mean: work adds up by means."""
        return max(LEAST_DURATION, self.demand.mean / SECOND)

    @property
    def left(self) -> int:
        return self.head.count - len(self.starts)

    def turn(self) -> tuple[int, int, int, float, int]:
        """Where its next member stands in the order: class, band, class of duration, key."""
        bucket = self.head.bucket
        key = self.head.members[0].key + self.step * len(self.starts)
        return RANK[bucket.priority], self.band, bucket.duration, key, self.number


def forecast(
    snapshot: Snapshot,
    pace: float,
    loss: Mapping[Priority, float] | None = None,
    empty: Sequence[BucketHead] = (),
) -> Forecast:
    """The forecast for a snapshot after its placements. `pace` is kept when nothing better can be said; `loss`: share
    of the capacity that jobs yet to come of higher classes will take from a class; `empty`: buckets that had these
    heads lately, and are empty now."""
    world = World(snapshot, loss or {}, empty)
    world.run()
    buckets = {q.head.bucket_id: points(q.starts) for q in world.queues if q.starts}
    for queue in world.queues:
        if not queue.nodes:
            buckets[queue.head.bucket_id] = ((1, NOT_IN_SIGHT),)
    starts = sorted(start for q in world.queues if not q.probe for start in q.starts)
    span = starts[-1] - starts[0] if starts else 0.0
    return Forecast(moment(snapshot.now), buckets, span / (len(starts) - 1) if span > 0 else pace)


def points(starts: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """At most 32 pairs (place, seconds) of a bucket's start times, the first and the last among them."""
    ordered = sorted(starts)
    last = len(ordered) - 1
    places = sorted({round(n * last / (POINTS - 1)) for n in range(POINTS)}) if last >= POINTS else range(last + 1)
    return tuple((place + 1, round(ordered[place], 3)) for place in places)


class World:
    """The state of the pass. Times are seconds after its beginning."""

    def __init__(self, snapshot: Snapshot, loss: Mapping[Priority, float], empty: Sequence[BucketHead]) -> None:
        ready = snapshot.ready
        self._loss = loss
        self.free = [n.free for n in ready]
        self.capacity = [n.capacity for n in ready]
        limit = snapshot.rules.slots
        self.slots = limit - snapshot.slots_used if limit else snapshot.waiting + 1
        self.looks, self.probing_looks = MOST_LOOKS, MOST_PROBING_LOOKS
        self.chain = max(1, -(-snapshot.waiting // MOST_STARTS))
        self.queues = _queues(snapshot, empty)
        self._turns = [(q.turn(), q) for q in self.queues if q.nodes and q.left]
        heapq.heapify(self._turns)
        index = {n.id: i for i, n in enumerate(ready)}
        self._ends = [
            (remaining(snapshot, a), index.get(node.id, -1), a.vector)
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
        if queue.probe and self.probing_looks <= 0:
            return None
        for index in nodes:
            if queue.probe:
                self.probing_looks -= 1
            else:
                self.looks -= 1
            if index in queue.nodes and self._holds(queue.demand, index).fits(self.free[index]):
                return index
        return None

    def _holds(self, demand: Demand, index: int) -> Vector:
        """What a member holds on a node; one that runs alone holds all of it, for which it must be empty."""
        return self.capacity[index] if demand.alone else demand.vector

    def _start(self, queue: Queue, index: int, now: float) -> None:
        together = min(self.chain, queue.left)
        slowed = 1.0 - min(MOST_LOSS, self._loss.get(queue.head.bucket.priority, 0.0))
        queue.starts.extend((now + n * queue.duration) / slowed for n in range(together))
        if queue.probe:
            return
        vector = self._holds(queue.demand, index)
        self.free[index] = self.free[index] - vector
        self.slots -= 1
        heapq.heappush(self._ends, (now + together * queue.duration, index, vector))


def remaining(snapshot: Snapshot, allocation: Allocation) -> float:
    """Seconds until a run should end; one that outlives its expectation is believed to take half as long again."""
    live = snapshot.live.get((allocation.job_id, allocation.run_no))
    if live is None:
        return UNKNOWN_SOFT / SECOND
    if live.mean_end > snapshot.now:
        return (live.mean_end - snapshot.now) / SECOND
    return max(LEAST_DURATION, (snapshot.now - live.started) / 2 / SECOND)


def _queues(snapshot: Snapshot, empty: Sequence[BucketHead]) -> list[Queue]:
    able: dict[Request, frozenset[int]] = {}
    shares = shares_of(snapshot)
    heads = [h for h in snapshot.heads if h.members]
    probes = [_come_now(h, snapshot.now) for h in empty]
    queues = []
    for number, head in enumerate((*heads, *probes)):
        bucket, demand = head.bucket, head.members[0].demand
        if demand.request not in able:
            able[demand.request] = _able(demand, snapshot.ready)
        step = max(0.0, snapshot.now - head.members[0].key) / max(1, head.count)
        band = shares.band(bucket.tenant) if bucket.pin is None else bucket.pin
        queues.append(Queue(head, demand, number, band, step, able[demand.request], number >= len(heads)))
    return queues


def _come_now(head: BucketHead, now: int) -> BucketHead:
    """One job like the bucket's last head."""
    return replace(head, count=1, members=(replace(head.members[0], key=float(now)),))


def _able(demand: Demand, ready: Sequence[Node]) -> frozenset[int]:
    """The nodes that could hold it when empty."""
    selector = dict(demand.selector)
    return frozenset(i for i, n in enumerate(ready) if demand.vector.fits(n.capacity) and matches(n.labels, selector))
