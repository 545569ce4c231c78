"""Every change of a batch as a pure function: a frozen `BatchChange`, or InvalidBatchTransition.

As with jobs, a change is decided on a loaded batch and applied by compare-and-set on its `seq`. What is wanted of the
jobs (`control`) is written by the change, and carried out by `app.operations.batches.wishes` afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from app.domain.batches import (
    CONTROLS,
    ENDED,
    ENDING,
    MOST_ENTRIES,
    Batch,
    BatchEntry,
    BatchKind,
    BatchStatus,
    Callback,
    Counts,
)
from app.domain.errors import InvalidBatchTransition
from app.domain.job import Control
from app.domain.states import JobStatus
from app.domain.transitions import Stamp

_B = BatchStatus


class BatchEdge(NamedTuple):
    """One allowed change of a batch's state. `source` is None for the insertion."""

    source: BatchStatus | None
    reason: str
    target: BatchStatus


EDGES: frozenset[BatchEdge] = frozenset(
    {
        BatchEdge(None, "submitted", _B.RUNNING),
        BatchEdge(_B.RUNNING, "paused", _B.PAUSED),
        BatchEdge(_B.PAUSED, "paused", _B.PAUSED),
        BatchEdge(_B.PAUSED, "resumed", _B.RUNNING),
        *(BatchEdge(s, reason, s) for s in (_B.RUNNING, _B.PAUSED) for reason in ("cancel_requested", "stopped")),
        *(BatchEdge(s, "settled", end) for s in (_B.RUNNING, _B.PAUSED) for end in sorted(ENDED)),
        *(BatchEdge(s, "retried", _B.RUNNING) for s in (_B.RUNNING, _B.FAILED, _B.CANCELLED)),
    }
)
"""`stopped`: a rule ends what is open (`fail_fast`, a sweep's goal). `settled`: no job is open any more."""


@dataclass(frozen=True, slots=True)
class BatchChange:
    """A decided change: holds only while the batch is still at `seq`. `fields` are attributes of Batch."""

    batch_id: str
    seq: int
    entry: BatchEntry
    fields: Mapping[str, Any]


def apply_batch(batch: Batch, change: BatchChange) -> Batch:
    """The batch after the change; the same as what the store writes."""
    assert (change.batch_id, change.seq) == (batch.id, batch.seq), "a change belongs to one version of one batch"
    entry = change.entry
    history = (*batch.history, entry)[-MOST_ENTRIES:]
    return replace(batch, **change.fields, status=entry.to, seq=entry.seq, history=history)


def counted(change: BatchChange, counts: Counts) -> BatchChange:
    """The change with the jobs as they are then: what is told of it would else be as old as the last count."""
    return replace(change, fields={**change.fields, "counts": counts, "counted_at": change.entry.at})


def first_entry(stamp: Stamp) -> BatchEntry:
    """The insertion as the history sees it."""
    return BatchEntry(1, None, BatchStatus.RUNNING, "submitted", stamp.at, stamp.actor, None, stamp.op)


def _change(batch: Batch, to: BatchStatus, reason: str, stamp: Stamp, detail: str | None, **fields: Any) -> BatchChange:
    """The change along the edge (state, reason, to). Raises InvalidBatchTransition where there is none."""
    if BatchEdge(batch.status, reason, to) not in EDGES:
        raise InvalidBatchTransition(batch.id, batch.status, to, allowed_from(batch.status))
    entry = BatchEntry(batch.seq + 1, batch.status, to, reason, stamp.at, stamp.actor, detail, stamp.op)
    return BatchChange(batch.id, batch.seq, entry, fields)


def allowed_from(status: BatchStatus) -> tuple[str, ...]:
    """The states that can follow, each once, other than itself."""
    return tuple(s for s in BatchStatus if s is not status and any(e.source is status and e.target is s for e in EDGES))


def pause_batch(batch: Batch, stamp: Stamp, reason: str | None, *, release: bool = False) -> BatchChange | None:
    """RUNNING → PAUSED: what waits is held, nothing of it starts any more; what runs runs to its end, or leaves its
    node with `release`. None when it is so already."""
    action = "release" if release else "hold"
    if batch.status is BatchStatus.PAUSED and (not release or batch.wants("release")) and not batch.wants(*ENDING):
        return None
    _refuse_while(batch, ENDING | {"retry"}, BatchStatus.PAUSED)
    return _change(batch, BatchStatus.PAUSED, "paused", stamp, reason, control=_control(action, stamp, reason))


def resume_batch(batch: Batch, stamp: Stamp, reason: str | None) -> BatchChange | None:
    """PAUSED → RUNNING: every job of it that is paused is resumed. None for one that was resumed and not paused since;
    one that never was paused, or has ended, is refused, since whoever resumes it is mistaken about it."""
    if batch.status is BatchStatus.RUNNING and any(e.reason == "resumed" for e in batch.history):
        return None
    _refuse_while(batch, ENDING, BatchStatus.RUNNING)
    if batch.status is not BatchStatus.PAUSED:
        allowed = allowed_from(batch.status)
        raise InvalidBatchTransition(batch.id, batch.status, BatchStatus.RUNNING, allowed, "it is not paused")
    return _change(batch, BatchStatus.RUNNING, "resumed", stamp, reason, control=_control("resume", stamp, reason))


def cancel_batch(batch: Batch, stamp: Stamp, reason: str | None) -> BatchChange | None:
    """RUNNING or PAUSED, and it stays so until no job of it is open: every open job is cancelled. None when it is so
    already, or asked already."""
    if batch.status is BatchStatus.CANCELLED or batch.wants("cancel"):
        return None
    if batch.ended:
        raise InvalidBatchTransition(batch.id, batch.status, BatchStatus.CANCELLED, allowed_from(batch.status))
    control = _control("cancel", stamp, reason)
    return _change(batch, batch.status, "cancel_requested", stamp, reason, control=control)


def stop_batch(batch: Batch, stamp: Stamp, why: str, **fields: Any) -> BatchChange | None:
    """As a rule wants it: what is open is cancelled, and the end of the batch goes by what its jobs came to. `why`
    begins with the rule: `fail_fast: …`. None when it is ending already. `fields`: what else is known now."""
    if batch.ended or batch.wants(*ENDING):
        return None
    return _change(batch, batch.status, "stopped", stamp, why, control=_control("stop", stamp, why), **fields)


def retry_batch(batch: Batch, stamp: Stamp, reason: str | None, *, retryable: int) -> BatchChange:
    """Another attempt at every job that failed, and RUNNING again. `retryable`: how many there are; with none it is
    refused."""
    _refuse_while(batch, ENDING | {"resume"}, BatchStatus.RUNNING)
    if not retryable:
        done = batch.status is BatchStatus.COMPLETED
        why = "every job of it has completed" if done else "no job of it has failed"
        raise InvalidBatchTransition(batch.id, batch.status, BatchStatus.RUNNING, allowed_from(batch.status), why)
    return _open_again(batch, stamp, reason, control=_control("retry", stamp, reason))


def reopen_batch(batch: Batch, job_id: str, stamp: Stamp) -> BatchChange | None:
    """Ended → RUNNING: a job of it was retried by itself. None for one that has not ended, or has completed: no job of
    it can be retried."""
    may = batch.ended and batch.status is not BatchStatus.COMPLETED
    return _open_again(batch, stamp, f"{job_id} was retried") if may else None


def _open_again(batch: Batch, stamp: Stamp, detail: str | None, **fields: Any) -> BatchChange:
    again = {"finished_at": None, "callback": batch.callback and Callback(batch.callback.url)}
    return _change(batch, BatchStatus.RUNNING, "retried", stamp, detail, **again, **fields)


def settle_batch(batch: Batch, counts: Counts, stamp: Stamp, end: BatchStatus | None = None) -> BatchChange | None:
    """RUNNING or PAUSED → its end, when no job of it is open and no more will come; else None. `end`: which, where it
    does not go by the jobs alone. Of a batch, not of a sweep, all jobs come at once; some may be gone since."""
    whole = batch.kind is BatchKind.BATCH or counts.laid_out >= batch.size
    complete = whole or batch.wants(*ENDING) or end is not None
    if batch.ended or counts.open or not complete or batch.wants("retry", "resume"):
        return None
    callback = batch.callback and Callback(batch.callback.url, batch.seq + 1, due=stamp.at)
    known = {"control": None, "finished_at": stamp.at, "counts": counts, "counted_at": stamp.at, "callback": callback}
    detail = batch.control.reason if batch.control else None
    return _change(batch, end or end_of(batch, counts), "settled", stamp, detail, **known)


def end_of(batch: Batch, counts: Counts) -> BatchStatus:
    """To what the jobs of a batch have come: COMPLETED when every one that is left completed; CANCELLED when a user
    cancelled the batch; else FAILED."""
    expected = counts.laid_out if batch.kind is BatchKind.BATCH else batch.size
    if counts.of(JobStatus.COMPLETED) == expected > 0:
        return BatchStatus.COMPLETED
    return BatchStatus.CANCELLED if batch.wants("cancel") else BatchStatus.FAILED


def _control(action: str, stamp: Stamp, reason: str | None) -> Control:
    assert action in CONTROLS, action
    return Control(action, stamp.actor, reason, stamp.at)


_DOING = {
    "cancel": "it is being cancelled",
    "stop": "what is open of it is being ended",
    "retry": "its jobs are being retried; try again in a moment",
    "resume": "its jobs are being resumed; try again in a moment",
}


def _refuse_while(batch: Batch, actions: frozenset[str], wanted: BatchStatus) -> None:
    """Raises InvalidBatchTransition while one of these is being carried out."""
    if batch.control is not None and batch.control.action in actions:
        allowed = allowed_from(batch.status)
        raise InvalidBatchTransition(batch.id, batch.status, wanted, allowed, _DOING[batch.control.action])
