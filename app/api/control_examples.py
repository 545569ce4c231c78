"""Examples of what users ask of jobs and nodes, and of what they are answered."""

from __future__ import annotations

from typing import Any

from app.api.object_examples import AT, ENTRY, FIRST, JOB, RESOURCES, WHOLE_NODE, WHY

_LATER = "2026-01-01T12:00:03.250Z"
_NOT_QUEUED: dict[str, Any] = {
    "wait_reason": None, "wait_reasons": [], "queue_position": None, "reserved": None, "estimated_start_time": None,
    "estimated_start_low": None, "estimated_start_high": None,
}  # fmt: skip


def _moved(job: dict[str, Any], to: str, reason: str, detail: str | None, message: str, **more: Any) -> dict[str, Any]:
    """The job one history entry later, as the answer of a control."""
    seq = job["seq"] + 1
    entry = {
        **ENTRY, "seq": seq, "from": job["status"], "to": to, "reason": reason, "at": _LATER, "detail": detail,
        "attempt": job["attempt"], "run_no": job["run_no"],
    }  # fmt: skip
    history = [*job["history"], entry]
    return {**job, **_NOT_QUEUED, "status": to, "seq": seq, "history": history, "message": message, **more}


_CANCELLED = _moved(
    JOB, "CANCELLED", "cancelled", "no longer needed", "It is CANCELLED.", finished_at=_LATER
)  # fmt: skip
_RUNNING = {
    **JOB, **_NOT_QUEUED, "status": "RUNNING", "seq": 3, "node_id": "node-1", "attempt": 1, "run_no": 1,
    "started_at": AT,
    "history": [
        ENTRY,
        {**ENTRY, "seq": 2, "from": "QUEUED", "to": "SCHEDULED", "reason": "placed", "actor": "system", "run_no": 1},
        {
            **ENTRY, "seq": 3, "from": "SCHEDULED", "to": "RUNNING", "reason": "started", "actor": "system",
            "attempt": 1, "run_no": 1,
        },
    ],
}  # fmt: skip
_PAUSING = _moved(
    _RUNNING, "RUNNING", "control_requested", "the node is needed",
    "node-1 is told to freeze it; it is PAUSED when its processes stand, and keeps its resources.",
    control={"action": "pause", "actor": "anonymous", "reason": "the node is needed", "at": _LATER},
)  # fmt: skip
_QUEUED_AGAIN = "It waits in its queue, at the place of its first submission."
_RESUMED = _moved(
    {**JOB, "status": "PAUSED"}, "QUEUED", "resume_eligible", None, _QUEUED_AGAIN, wait_reason=WHY, wait_reasons=[WHY]
)  # fmt: skip
_URGENT = {
    **_moved(JOB, "QUEUED", "priority_changed", "Production model update required", _QUEUED_AGAIN),
    **{name: JOB[name] for name in _NOT_QUEUED}, "priority": "urgent", "effective_priority": "urgent",
    "queue_position": 1, "wait_reason": FIRST, "wait_reasons": [FIRST],
}  # fmt: skip
_RETRIED = _moved(
    {**JOB, "status": "FAILED"}, "QUEUED", "manual_retry", "with more memory", _QUEUED_AGAIN,
    wait_reason=WHY, wait_reasons=[WHY], resources={**RESOURCES, "memory_gb": 16},
)  # fmt: skip
_DRAINED = {
    **WHOLE_NODE, "state": "DRAINING",
    "drain": {"actor": "anonymous", "reason": "new kernel", "at": _LATER, "patient": False},
    "available": {"cpu_cores": 0, "memory_gb": 0, "gpu_count": 0, "storage_gb": 0},
}  # fmt: skip

_DEPENDENT = _moved(
    JOB, "SUBMITTED", "dependency_added", None, "It waits for its dependencies or its start time, then it is queued.",
    dependencies=["job_123", "job_456"],
)  # fmt: skip
REQUESTS: dict[str, dict[str, Any]] = {
    "cancel_job": {"with a reason": {"reason": "no longer needed"}},
    "pause_job": {
        "in place": {"reason": "the node is needed"},
        "giving the resources back": {"release": True, "reason": "until the night"},
    },
    "resume_job": {"with a reason": {"reason": "go on"}},
    "retry_job": {
        "as it was": {"reason": "the disk is back"},
        "changed": {
            "parameters": {"hyperparameters": {"max_depth": 8}}, "resources": {"memory_gb": 16}, "priority": "urgent",
            "reason": "with more memory",
        },
    },
    "add_job_dependencies": {
        "two more": {"depends_on": ["job_123", "job_456"], "dependency_type": "all_complete"},
    },
    "change_job_priority": {
        "to urgent": {"priority": "urgent", "reason": "Production model update required"},
    },
    "cancel_jobs": {
        "by tag": {"tag": "sweep-7", "reason": "wrong data"},
        "waiting jobs of a template": {"template": "ml_training", "status": ["SUBMITTED", "QUEUED"], "dry_run": True},
    },
    "drain_node": {"with a reason": {"reason": "new kernel"}},
    "resume_node": {"with a reason": {"reason": "it is back"}},
}  # fmt: skip
ANSWERS: dict[str, dict[str, Any]] = {
    "delete_job": {"200": _CANCELLED},
    "cancel_job": {"200": _CANCELLED},
    "pause_job": {"200": _PAUSING},
    "resume_job": {"200": _RESUMED},
    "retry_job": {"200": _RETRIED},
    "change_job_priority": {"200": _URGENT},
    "add_job_dependencies": {"200": _DEPENDENT},
    "cancel_jobs": {
        "200": {
            "matched": 42, "cancelled": 40, "requested": 2, "already_cancelled": 0, "failed": 0, "dry_run": False,
        }
    },
    "get_node": {"200": WHOLE_NODE},
    "drain_node": {"200": _DRAINED},
    "resume_node": {"200": WHOLE_NODE},
}  # fmt: skip
