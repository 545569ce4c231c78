"""Batches as they are answered."""

from __future__ import annotations

from typing import Any

from app.api.history_views import entry_view
from app.api.sweep_views import sweep_view
from app.domain.batches import ENDING, Batch, BatchStatus, Callback, Counts
from app.domain.states import TERMINAL, JobStatus
from app.domain.timestamps import optional_rfc3339 as moment
from app.domain.timestamps import rfc3339
from app.operations.batches.submitting import BatchSubmitted

View = dict[str, Any]


def submitted_batch_view(submitted: BatchSubmitted) -> View:
    """The answer to a submit: the shape of the contract, and the name."""
    batch = submitted.batch
    return {
        "batch_id": batch.id,
        "name": batch.name,
        "status": batch.status,
        "message": "Batch submitted successfully",
        "job_ids": [job.id for job in submitted.jobs],
        "counts": batch.counts.tell(),
    }


def batch_summary(batch: Batch, counts: Counts) -> View:
    """A batch as it stands in a listing. `counts`: as they are now."""
    return {
        "batch_id": batch.id,
        "kind": batch.kind,
        "name": batch.name,
        "tenant": batch.tenant,
        "status": batch.status,
        "seq": batch.seq,
        "size": batch.size,
        "counts": counts.tell(),
        "progress": 1.0 if batch.ended else round(counts.of(*TERMINAL) / batch.size, 4),
        "template": batch.template,
        "execution_mode": batch.mode,
        "max_parallel": batch.max_parallel,
        "fail_fast": batch.fail_fast,
        "control": None if batch.control is None else _control(batch),
        "callback": None if batch.callback is None else _callback(batch.callback),
        "metadata": batch.metadata,
        "submitted_at": rfc3339(batch.submitted_at),
        "finished_at": moment(batch.finished_at),
    }


def batch_view(batch: Batch, counts: Counts) -> View:
    """The whole batch."""
    history = [entry_view(entry) for entry in batch.history]
    return {**batch_summary(batch, counts), "sweep": sweep_view(batch), "history": history}


def controlled_batch_view(batch: Batch, counts: Counts) -> View:
    """The whole batch after a control, with what happens to it."""
    return {**batch_view(batch, counts), "message": batch_outlook(batch, counts)}


def batch_outlook(batch: Batch, counts: Counts) -> str:
    """What a control has done to a batch and what happens next, in a sentence or two for people."""
    if batch.wants(*ENDING):
        return f"{_jobs(counts.open)} still open; when none is, the batch has ended."
    if batch.control is not None:
        return f"It is {batch.status}, and its jobs follow: {batch.control.action} is being carried out."
    if batch.status is BatchStatus.PAUSED:
        running = counts.of(JobStatus.RUNNING, JobStatus.SCHEDULED)
        return f"It is PAUSED: {_jobs(counts.of(JobStatus.PAUSED))} paused, and {_jobs(running)} running to the end."
    if batch.status is BatchStatus.RUNNING:
        return f"It is RUNNING: {_jobs(counts.open)} open."
    return f"It is {batch.status}: {counts.of(JobStatus.COMPLETED)} of {_of_size(batch)} completed."


def _jobs(number: int) -> str:
    return "1 job is" if number == 1 else f"{number:,} jobs are"


def _of_size(batch: Batch) -> str:
    return "1 job" if batch.size == 1 else f"{batch.size:,} jobs"


def _control(batch: Batch) -> View:
    assert batch.control is not None  # noqa: S101 - asked by the caller
    control = batch.control
    return {"action": control.action, "actor": control.actor, "reason": control.reason, "at": rfc3339(control.at)}


def _callback(callback: Callback) -> View:
    return {
        "url": callback.url,
        "tries": callback.tries,
        "next_try_at": moment(callback.due),
        "delivered_at": moment(callback.delivered_at),
        "trouble": callback.trouble,
    }
