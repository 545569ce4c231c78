"""Examples of why and what if."""

from __future__ import annotations

from typing import Any

from app.api.object_examples import AT, JOB_ID

_LATER = "2026-01-01T12:05:00.000Z"
REQUESTS: dict[str, dict[str, Any]] = {
    "what_if": {
        "more room": {
            "changes": [
                {"op": "priority", "job_id": JOB_ID, "priority": "urgent"},
                {"op": "add_nodes", "type": "gpu", "count": 2},
            ]
        }
    },
}
ANSWERS: dict[str, dict[str, Any]] = {
    "what_if": {
        "200": {
            "at": AT,
            "starts_now": [JOB_ID],
            "jobs": [
                {
                    "job_id": JOB_ID,
                    "before": {"starts_at": _LATER, "position": 4},
                    "after": {"starts_at": AT, "position": 1},
                }
            ],
            "examined": 15,
            "waiting": 15,
        }
    },
    "explain_job": {
        "200": {
            "job_id": JOB_ID,
            "status": "QUEUED",
            "reasons": [
                {
                    "code": "resources",
                    "summary": "needs gpu_count 1, short of 1 on node-1",
                    "facts": {"node": "node-1", "fragmented": 0, "gpu_count_asked": 1, "gpu_count_short": 1},
                    "remedies": [
                        {
                            "code": "start_worker",
                            "text": "Start a worker on a machine that has room.",
                            "command": "tensorfleet worker",
                        }
                    ],
                },
                {"code": "position", "summary": "3 jobs are before it", "facts": {"ahead": 3}, "remedies": []},
            ],
            "changes": [{"change": "priority urgent", "starts_at": _LATER, "position": 1}],
        }
    },
}
