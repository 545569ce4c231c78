"""Priority classes and the order key inside a class."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum


class Priority(StrEnum):
    """The four classes, most urgent first."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


RANK: dict[Priority, int] = {p: n for n, p in enumerate(Priority)}
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def order_key(submitted_at: datetime, tie: int = 0) -> float:
    """Microseconds since 2020-01-01Z as a double (steps of 1/32 µs today).

    `tie`, 0–999: microseconds below the millisecond that `submitted_at` carries, so that jobs of one instant keep
    the order in which one process took them.
    """
    return float(round((submitted_at - EPOCH).total_seconds() * 1000) * 1000 + tie)
