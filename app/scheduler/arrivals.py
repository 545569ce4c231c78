"""How much work arrives in each class, as a share of the cluster: what jobs yet to come will take from lower ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from app.domain.ageing import MICRO, cost_of
from app.domain.priority import RANK, SECOND, Priority
from app.scheduler.snapshot import Snapshot

MEMORY = 900 * SECOND
"""Arrivals are averaged over so long, older ones counting less and less."""


class Arrivals:
    """Mean rates, in cluster-seconds a second by class, from how the buckets of one cycle differ from the last's."""

    def __init__(self) -> None:
        self._rates: dict[Priority, float] = {}
        self._counts: dict[str, int] = {}
        self._at: int | None = None

    def seen(self, snapshot: Snapshot, placed: Iterable[str]) -> None:
        """A cycle that began with this snapshot and placed one job of each of these buckets (repeats count)."""
        if self._at is not None:
            self._fold(self._came(snapshot), snapshot.now - self._at)
        gone = Counter(placed)
        self._counts = {h.bucket_id: max(0, h.count - gone[h.bucket_id]) for h in snapshot.heads}
        self._at = snapshot.now

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
                came[head.bucket.priority] += new * cost_of(head.members[0].demand, capacity) / MICRO
        return came

    def _fold(self, came: Mapping[Priority, float], passed: int) -> None:
        if passed <= 0:
            return
        keep = 0.5 ** (passed / MEMORY)
        seconds = passed / SECOND
        self._rates = {p: self._rates.get(p, 0.0) * keep + came[p] / seconds * (1.0 - keep) for p in Priority}
