"""Priority classes, the order key inside a class, and how long a class waits patiently."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Priority(StrEnum):
    """The four classes, most urgent first."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


RANK: dict[Priority, int] = {p: n for n, p in enumerate(Priority)}
SECOND = 1_000_000
"""Order keys, and all times inside the planner, are microseconds since 2020-01-01Z."""
PATIENCE: dict[Priority, int] = {
    Priority.URGENT: 600 * SECOND,
    Priority.HIGH: 1_800 * SECOND,
    Priority.NORMAL: 7_200 * SECOND,
    Priority.LOW: 28_800 * SECOND,
}
"""How long a job of a class waits before it is overdue, in microseconds. It goes by the class that was asked for."""
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def order_key(submitted_at: datetime, tie: float = 0) -> float:
    """Microseconds since 2020-01-01Z as a double (steps of 1/32 µs today).

    `tie`, below 1,000: microseconds below the millisecond that `submitted_at` carries, so that jobs of one instant
    keep the order in which one process took them.
    """
    return float(round((submitted_at - EPOCH).total_seconds() * 1000) * 1000 + tie)


def micros(at: datetime) -> int:
    """A time as the planner has it: whole microseconds since 2020-01-01Z."""
    return round((at - EPOCH).total_seconds() * SECOND)


def moment(at: int) -> datetime:
    """The time of the planner's microseconds."""
    return EPOCH + timedelta(microseconds=at)


def most_urgent(classes: Iterable[Priority]) -> Priority:
    """The first class among these, of which there is at least one."""
    return min(classes, key=RANK.__getitem__)
