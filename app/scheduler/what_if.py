"""What changes would do: the same plan and forecast on a snapshot as it is and as it would be, and the difference.

Jobs that were set out are followed one by one; the others take part as the buckets that they wait in. Nothing is
stored, and the snapshot is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from app.domain.errors import Invalid
from app.domain.priority import SECOND, moment
from app.domain.records import Waiting
from app.domain.what_if import MOST_CHANGES, Difference, Outcome, Supposed, WhatIf
from app.scheduler.outlook import Outlook, outlook
from app.scheduler.scene import Scene, set_out
from app.scheduler.snapshot import Snapshot
from app.scheduler.supposing import Kinds, suppose_all

SAME = 1.0
"""Seconds by which starts may differ and count as the same."""


def what_if(snapshot: Snapshot, changes: Sequence[Supposed], examined: Iterable[Waiting], kinds: Kinds) -> WhatIf:
    """The difference that the changes make for the `examined` jobs, those of the changes among them.

    Raises Invalid for more than 100 changes, and for each that names what is not there.
    """
    if len(changes) > MOST_CHANGES:
        raise Invalid.one("changes", f"at most {MOST_CHANGES} changes at once, got {len(changes):,}")
    before = set_out(snapshot, examined)
    after = suppose_all(before, changes, kinds)
    first, second = _look(before), _look(after)
    now = snapshot.now
    jobs = sorted({*first.starts, *second.starts})
    pairs = [(job_id, outcome(first, job_id, now), outcome(second, job_id, now)) for job_id in jobs]
    return WhatIf(
        at=moment(now),
        starts_now=tuple(j for j in jobs if second.starts.get(j) == 0.0 and first.starts.get(j) != 0.0),
        differences=tuple(Difference(*pair) for pair in pairs if _differ(*pair[1:])),
        examined=len(before.jobs),
        waiting=snapshot.waiting,
    )


def outcome(found: Outlook, job_id: str, now: int) -> Outcome | None:
    """Of one job; None when it does not wait there."""
    if job_id not in found.starts:
        return None
    return Outcome(starts_at(found.starts[job_id], now), found.positions.get(job_id))


def starts_at(seconds: float | None, now: int) -> datetime | None:
    """The time so many seconds after `now` (µs since 2020)."""
    return None if seconds is None else moment(now + round(seconds * SECOND))


def _look(scene: Scene) -> Outlook:
    return outlook(scene.snapshot, scene.jobs.keys())


def _differ(before: Outcome | None, after: Outcome | None) -> bool:
    if before is None or after is None or before.position != after.position:
        return True
    if before.starts_at is None or after.starts_at is None:
        return before.starts_at != after.starts_at
    return abs((after.starts_at - before.starts_at).total_seconds()) >= SAME
