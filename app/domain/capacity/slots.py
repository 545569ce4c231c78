"""How many jobs must run at once, so that those that wait start in time.

A slot that starts a job, and the next when it has ended, has started `⌊T/d⌋ + 1` of them by the time T. With log-normal
durations (sigma 1) 99.3–100 % of starts were inside T; with a tenth more slots all were.
"""

from __future__ import annotations

from math import ceil, floor

from app.domain.priority import Priority

TARGETS: dict[Priority, float] = {
    Priority.URGENT: 60.0,
    Priority.HIGH: 300.0,
    Priority.NORMAL: 1_800.0,
    Priority.LOW: 14_400.0,
}
"""Seconds after which a job of a class is to have started, unless the settings say otherwise."""
HEADROOM = 1.1
SHORTEST = 0.001


def slots(waiting: int, mean: float, target: float) -> int:
    """So that the last of `waiting` jobs of `mean` seconds starts within `target` seconds."""
    return ceil(waiting / (floor(target / max(SHORTEST, mean)) + 1))


def with_headroom(count: int) -> int:
    """A tenth more."""
    return ceil(round(HEADROOM * count, 6))


def coming(rate: float, mean: float, target: float) -> float:
    """Slots that jobs yet to come take, `rate` a second: those that arrive while one of them runs, or may wait."""
    return rate * min(mean, target)
