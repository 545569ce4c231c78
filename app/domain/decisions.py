"""What a cycle decided, as it is kept: enough to see what happened, and with its snapshot to make it happen again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Decision:
    """`cycle`: its number within the leader's `term`; `now`: of the snapshot, µs since 2020; `plan`: placements,
    reservations, what was revoked, credit (`app.scheduler.encoding.plan_value`); `verdict_counts`: waiting jobs by the
    reason that decides; `snapshot`: packed, where it was kept."""

    id: str
    at: datetime
    cycle: int
    term: int
    now: int
    code_version: str
    snapshot_hash: str
    plan: Mapping[str, Any]
    verdict_counts: Mapping[str, int]
    snapshot: bytes | None = None


def decision_id(term: int, cycle: int) -> str:
    """Unique: a term has one leader, which counts its cycles."""
    return f"cycle_{term}_{cycle}"
