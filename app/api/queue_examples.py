"""Examples of what is asked of the queue, and of what is answered."""

from __future__ import annotations

from typing import Any

from app.api.object_examples import AT, JOB_ID, SUMMARY

STATUS: dict[str, Any] = {
    "queue_length": 15, "running_jobs": 8, "pending_jobs": 7, "scheduled_jobs": 0, "paused_jobs": 0,
    "queues": {
        "urgent": {"length": 2, "avg_wait_time": "2m 30s", "avg_wait_seconds": 150.0},
        "high": {"length": 5, "avg_wait_time": "8m 15s", "avg_wait_seconds": 495.0},
        "normal": {"length": 8, "avg_wait_time": "15m 45s", "avg_wait_seconds": 945.0},
        "low": {"length": 0, "avg_wait_time": "0s", "avg_wait_seconds": 0.0},
    },
    "paused": False, "pause": None, "promises": 1,
}  # fmt: skip
_PAUSED = {**STATUS, "paused": True, "pause": {"actor": "anonymous", "reason": "new storage", "at": AT}}

REQUESTS: dict[str, dict[str, Any]] = {
    "reorder_queue": {
        "to the front": {"job_id": "job_789", "new_position": 1, "reason": "Critical production fix"},
    },
    "pause_queue": {"with a reason": {"reason": "new storage"}},
    "resume_queue": {"with a reason": {"reason": "the storage is there"}},
}
ANSWERS: dict[str, dict[str, Any]] = {
    "get_queue_status": {"200": STATUS},
    "list_queue": {"200": {"jobs": [SUMMARY], "next_cursor": None}},
    "reorder_queue": {
        "200": {
            "job_id": "job_789", "seq": 2, "class": "normal", "position_before": 2, "position_after": 1,
            "estimated_start_before": "2026-01-01T12:04:10.000Z", "estimated_start_after": "2026-01-01T12:00:20.000Z",
            "pushed_back_count": 1,
            "pushed_back": [
                {
                    "job_id": JOB_ID, "position_before": 1, "position_after": 2,
                    "estimated_start_before": "2026-01-01T12:00:20.000Z",
                    "estimated_start_after": "2026-01-01T12:04:10.000Z",
                }
            ],
            "dry_run": False,
        }
    },
    "pause_queue": {"200": _PAUSED},
    "resume_queue": {"200": STATUS},
    "list_limits": {
        "200": {
            "limits": [
                {"name": "main_orchestrator", "limit": 4, "held": 1, "holders": [JOB_ID], "waiting": 0},
            ]
        }
    },
}  # fmt: skip
