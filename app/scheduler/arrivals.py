"""What arrives: how much work in each class, as a share of the cluster, which jobs yet to come will take from lower
ones; and the buckets to which jobs came lately, to which others may come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from app.domain.ageing import MICRO, cost_of
from app.domain.priority import RANK, SECOND, Priority
from app.domain.records import BucketHead
from app.scheduler.snapshot import Snapshot

MOST_REMEMBERED = 256
MEMORY = 900 * SECOND
"""Arrivals are averaged over so long, older ones counting less and less."""


class Arrivals:
    """Mean rates, in cluster-seconds a second by class, from how the buckets of one cycle differ from the last's."""

    def __init__(self) -> None:
        self._rates: dict[Priority, float] = {}
        self._counts: dict[str, int] = {}
        self._heads: dict[str, BucketHead] = {}
        self._at: int | None = None
        self._since: Counter[str] = Counter()

    def seen(self, snapshot: Snapshot, placed: Iterable[str]) -> None:
        """A cycle that began with this snapshot and placed one job of each of these buckets (repeats count)."""
        if self._at is not None:
            self._fold(self._came(snapshot), snapshot.now - self._at)
        self._remember(snapshot)
        gone = Counter(placed)
        self._counts = {h.bucket_id: max(0, h.count - gone[h.bucket_id]) for h in snapshot.heads}
        self._at = snapshot.now

    def empty(self, snapshot: Snapshot) -> tuple[BucketHead, ...]:
        """The last heads of buckets in which jobs waited lately, and none does any more."""
        here = {h.bucket_id for h in snapshot.heads}
        return tuple(head for bucket_id, head in self._heads.items() if bucket_id not in here)

    def taken(self) -> dict[str, tuple[BucketHead, int]]:
        """By bucket how many jobs came since this was last asked, with its last head."""
        found = {b: (self._heads[b], count) for b, count in self._since.items() if b in self._heads}
        self._since.clear()
        return found

    def _remember(self, snapshot: Snapshot) -> None:
        for head in snapshot.heads:
            if head.members:
                self._heads.pop(head.bucket_id, None)
                self._heads[head.bucket_id] = replace(head, members=head.members[:1])
        for bucket_id in list(self._heads)[:-MOST_REMEMBERED]:
            del self._heads[bucket_id]

    def loss(self) -> Mapping[Priority, float]:
        """By class the share of the cluster that higher classes will take."""
        return {p: sum(rate for q, rate in self._rates.items() if RANK[q] < RANK[p]) for p in Priority}

    def _came(self, snapshot: Snapshot) -> dict[Priority, float]:
        """Cluster-seconds that are new since the last cycle."""
        capacity = snapshot.capacity
        came = dict.fromkeys(Priority, 0.0)
        for head in snapshot.heads:
            new = head.count - self._counts.get(head.bucket_id, 0)
            if new > 0 and head.members:
                self._since[head.bucket_id] += new
                came[head.bucket.priority] += new * cost_of(head.members[0].demand, capacity) / MICRO
        return came

    def _fold(self, came: Mapping[Priority, float], passed: int) -> None:
        if passed <= 0:
            return
        keep = 0.5 ** (passed / MEMORY)
        seconds = passed / SECOND
        self._rates = {p: self._rates.get(p, 0.0) * keep + came[p] / seconds * (1.0 - keep) for p in Priority}
