"""The queue as it is answered: its status, and what moving a job in it does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.domain.priority import Priority
from app.domain.records import StateCount
from app.domain.scheduler_state import QueuePause
from app.domain.states import JobStatus
from app.domain.timestamps import optional_rfc3339 as moment
from app.operations.limits import LimitState
from app.operations.pushed_back import PushedBack, Reordering

View = dict[str, Any]
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def duration_text(seconds: float) -> str:
    """The two largest parts: `0s`, `2m 30s`, `1h 5m`, `3d 2h`; a part of zero is left out."""
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit, size in _UNITS:
        amount, left = divmod(left, size)
        if amount or parts:
            parts.append((amount, unit))
    return " ".join(f"{amount}{unit}" for amount, unit in parts[:2] if amount) or "0s"


def queue_status_view(
    counts: Sequence[StateCount],
    waited: Mapping[Priority, float],
    now: datetime,
    pause: QueuePause | None = None,
    promises: int = 0,
) -> View:
    """`waited`: mean seconds that jobs started in the last hour had waited, per class that has any."""
    jobs = {status: sum(c.jobs for c in counts if c.status is status) for status in JobStatus}
    queued = {c.priority: c for c in counts if c.status is JobStatus.QUEUED}
    return {
        "queue_length": jobs[JobStatus.QUEUED],
        "running_jobs": jobs[JobStatus.RUNNING],
        "pending_jobs": jobs[JobStatus.SUBMITTED] + jobs[JobStatus.RETRYING],
        "scheduled_jobs": jobs[JobStatus.SCHEDULED],
        "paused_jobs": jobs[JobStatus.PAUSED],
        "queues": {p.value: _class_view(queued.get(p), waited.get(p), now) for p in Priority},
        "paused": pause is not None,
        "pause": None if pause is None else _pause_view(pause),
        "promises": promises,
    }


def _pause_view(pause: QueuePause) -> View:
    return {"actor": pause.actor, "reason": pause.reason, "at": moment(pause.at)}


def _class_view(queued: StateCount | None, waited: float | None, now: datetime) -> View:
    if waited is None:
        waited = _waiting_now(queued, now) if queued else 0.0
    length = queued.jobs if queued else 0
    return {"length": length, "avg_wait_time": duration_text(waited), "avg_wait_seconds": round(waited, 3)}


def _waiting_now(queued: StateCount, now: datetime) -> float:
    """Mean wait of those in the queue; of the oldest alone when the store gave no mean."""
    if queued.mean_wait_seconds is not None:
        return queued.mean_wait_seconds
    return max(0.0, (now - queued.oldest).total_seconds()) if queued.oldest else 0.0


def reordered_view(done: Reordering, *, dry_run: bool) -> View:
    """What a move does, or would do."""
    return {
        "job_id": done.job.id,
        "seq": done.job.seq,
        "class": done.job.effective_priority,
        "position_before": done.position_before,
        "position_after": done.position,
        "estimated_start_before": moment(done.start_before),
        "estimated_start_after": moment(done.start_after),
        "pushed_back_count": done.pushed_back_count,
        "pushed_back": [_pushed_back(each) for each in done.pushed_back],
        "dry_run": dry_run,
    }


def _pushed_back(each: PushedBack) -> View:
    return {
        "job_id": each.job_id,
        "position_before": each.position_before,
        "position_after": each.position_before + 1,
        "estimated_start_before": moment(each.start_before),
        "estimated_start_after": moment(each.start_after),
    }


def limit_view(state: LimitState) -> View:
    """A named limit, who holds it and who waits."""
    return {
        "name": state.name,
        "limit": state.size,
        "held": state.held,
        "holders": state.holders,
        "waiting": state.waiting,
    }
