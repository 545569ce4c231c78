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
_DECISION: dict[str, Any] = {
    "decision_id": "cycle_3_1042",
    "at": AT,
    "cycle": 1042,
    "term": 3,
    "now": 189388800000000,
    "code_version": "0.5.0",
    "snapshot_hash": "0d5f1b7c9a3e4f62b8d1c0a7e5f39421",
    "placements": [
        {
            "job_id": JOB_ID,
            "bucket_id": "3a7f0c52d1e98b46",
            "node_id": "node-1",
            "epoch": 1,
            "vector": [4000, 8192, 0, 10],
            "gpu_indices": [],
            "job_gpus": [],
            "overdue": False,
        }
    ],
    "reservations": [],
    "revoked": [],
    "evictions": [],
    "credit": 120000000,
    "capped": False,
    "faults": {},
    "verdict_counts": {"resources": 12},
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
    "list_decisions": {"200": {"decisions": [_DECISION]}},
    "get_decision": {"200": {**_DECISION, "snapshot": None}},
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
