"""The guarantee lane: overdue jobs get a fixed share of all cost dispatched, whatever their class.

One number, the credit, in micro-cluster-seconds: every placement adds the share of its cost, one from the lane also
takes its cost. While it is not negative and an overdue job waits, that one is next. So the lane receives at least the
share of what is dispatched, less one job, and the main order loses at most it, plus one burst of the cap: unlike a
priority that grows with waiting, which an aged sweep turns into a wall.
"""

from __future__ import annotations

from app.domain.queueing import Demand
from app.domain.resources import Vector

MICRO = 1_000_000
BURST = 600 * MICRO
"""Credit is capped at the share of so many cluster-seconds."""


def dominant(vector: Vector, capacity: Vector) -> float:
    """The largest share of the capacity that a vector is in any dimension."""
    return max((v / c for v, c in zip(vector.parts(), capacity.parts(), strict=True) if c), default=0.0)


def cost_of(demand: Demand, capacity: Vector) -> int:
    """Dominant share times mean duration, in micro-cluster-seconds: what a run takes from the cluster."""
    return round(dominant(demand.vector, capacity) * demand.mean)


def credit_after(credit: int, cost: int, share: float, *, from_lane: bool) -> int:
    """The credit after a placement of that cost."""
    return min(credit + round(share * cost) - (cost if from_lane else 0), round(share * BURST))
