"""Examples of batches as they are asked for and answered, and of dependencies that are added."""

from __future__ import annotations

from typing import Any

from app.api.object_examples import AT
from app.api.sweep_examples import LEADERBOARD, SWEEP

_LATER = "2026-01-01T12:04:10.500Z"
BATCH_ID = "batch_01kdvjm0q8m4x2c7w9f3e00000"
_STATES = (
    *("submitted", "queued", "scheduled", "running", "paused", "retrying"),
    *("completed", "failed", "cancelled", "timeout"),
)


def _counts(**states: int) -> dict[str, int]:
    return {"total": sum(states.values()), **{name: states.get(name, 0) for name in _STATES}}


_TWO = {
    "jobs": [
        {"template": "hyperparameter_tuning", "parameters": {"algorithm": "svm", "C": 1.0}},
        {"template": "hyperparameter_tuning", "parameters": {"algorithm": "svm", "C": 10.0}},
    ],
    "execution_mode": "parallel",
}
_BOUNDED = {
    **_TWO,
    "max_parallel": 1,
    "fail_fast": True,
    "name": "svm-by-c",
}
_SUBMITTED = {
    "batch_id": BATCH_ID,
    "name": "hyperparameter-tuning-x2",
    "status": "RUNNING",
    "message": "Batch submitted successfully",
    "job_ids": ["job_01kdvjm0q8m4x2c7w9f3e00000", "job_01kdvjm0q8m4x2c7w9f3e00008"],
    "counts": _counts(queued=2),
}
_ENTRY = {
    "seq": 1, "from": None, "to": "RUNNING", "reason": "submitted", "at": AT, "actor": "anonymous", "detail": None,
}  # fmt: skip
SUMMARY: dict[str, Any] = {
    "batch_id": BATCH_ID,
    "kind": "batch",
    "name": "hyperparameter-tuning-x2",
    "tenant": "default",
    "status": "RUNNING",
    "seq": 1,
    "size": 2,
    "counts": _counts(running=1, completed=1),
    "progress": 0.5,
    "template": "hyperparameter_tuning",
    "execution_mode": "parallel",
    "max_parallel": None,
    "fail_fast": False,
    "control": None,
    "callback": None,
    "metadata": {},
    "submitted_at": AT,
    "finished_at": None,
}
BATCH = {**SUMMARY, "sweep": None, "history": [_ENTRY]}


def _moved(to: str, reason: str, detail: str | None, message: str, **more: Any) -> dict[str, Any]:
    """The batch one entry later, as the answer of a control."""
    entry = {**_ENTRY, "seq": 2, "from": "RUNNING", "to": to, "reason": reason, "at": _LATER, "detail": detail}
    return {**BATCH, "status": to, "seq": 2, "history": [_ENTRY, entry], "message": message, **more}


_ASKED = {"action": "cancel", "actor": "anonymous", "reason": "wrong data", "at": _LATER}
_CANCELLED = _moved(
    "RUNNING", "cancel_requested", "wrong data", "1 job is still open; when none is, the batch has ended.",
    control=_ASKED,
)  # fmt: skip
_PAUSED = _moved(
    "PAUSED", "paused", "the cluster is needed",
    "It is PAUSED: 1 job is paused, and 0 jobs are running to the end.", counts=_counts(paused=1, completed=1),
)  # fmt: skip
_RESUMED = {**_moved("RUNNING", "resumed", None, "It is RUNNING: 1 job is open.")}
_RETRIED = {**_moved("RUNNING", "retried", "the disk is larger now", "It is RUNNING: 1 job is open.")}

REQUESTS: dict[str, dict[str, Any]] = {
    "submit_batch": {"two at once": _TWO, "one after the other, until one fails": _BOUNDED, "a search": SWEEP},
    "cancel_batch": {"with a reason": {"reason": "wrong data"}},
    "pause_batch": {"hold what waits": {"reason": "the cluster is needed"}, "and release": {"release": True}},
    "resume_batch": {"with a reason": {"reason": "the cluster is free"}},
    "retry_batch": {"what failed": {"reason": "the disk is larger now"}},
}
ANSWERS: dict[str, dict[str, Any]] = {
    "get_batch_leaderboard": {"200": LEADERBOARD},
    "submit_batch": {"201": _SUBMITTED},
    "list_batches": {"200": {"batches": [SUMMARY], "next_cursor": None}},
    "get_batch": {"200": BATCH},
    "delete_batch": {"200": _CANCELLED},
    "cancel_batch": {"200": _CANCELLED},
    "pause_batch": {"200": _PAUSED},
    "resume_batch": {"200": _RESUMED},
    "retry_batch": {"200": _RETRIED},
}
