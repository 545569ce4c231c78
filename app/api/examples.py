"""Examples of the document: each request and answer, those of the contract verbatim. A test validates every one."""

from __future__ import annotations

from typing import Any

from app.api import (
    analytics_examples,
    batch_examples,
    capacity_examples,
    control_examples,
    inquiry_examples,
    queue_examples,
    template_examples,
    workflow_examples,
)
from app.api.object_examples import (
    AT,
    DURATION,
    JOB,
    JOB_ID,
    LEFT,
    NODE,
    PARAMETERS,
    POLICY,
    POOL,
    RESOURCES,
    SIZING,
    SUBMIT,
    SUMMARY,
    WHOLE_NODE,
)

_DATASET = {
    "name": "churn",
    "kind": "registered",
    "path": "churn/2026-01.csv",
    "description": "Customers who left",
    "target_column": "left",
    "rows": None,
    "features": None,
    "task": None,
    "registered_at": AT,
}
_PLAN = {
    "name": "iris-random-forest-species-n100-d5",
    "template": "ml_training_template",
    "template_version": 1,
    "parameters": PARAMETERS,
    "resources": RESOURCES,
    "resources_from": {
        "cpu_cores": "request", "memory_gb": "request", "gpu_count": "template", "storage_gb": "template",
    },
    "executor": "process",
    "execution_steps": [{"step": "data_preparation", "timeout": 300}],
    "retry_policy": POLICY,
    "timeout": 3600,
    "priority": "high",
    "dependencies": [],
    "tenant": "default",
    "expected_duration": DURATION,
    "sizing": SIZING,
    "wait_reasons": [],
    "status": "QUEUED",
    "queue_position": 3,
    "estimated_start_time": "2026-01-01T12:05:00.000Z",
    "estimated_start_low": "2026-01-01T12:01:40.000Z",
    "estimated_start_high": "2026-01-01T12:15:02.000Z",
    "origins": template_examples.JOB_VALUES,
}  # fmt: skip
_LOG_LINE = {"n": 1, "at": AT, "step": "model_training", "stream": "stdout", "text": "64 of 100 trees"}

REQUESTS: dict[str, dict[str, Any]] = {
    **control_examples.REQUESTS,
    **batch_examples.REQUESTS,
    **queue_examples.REQUESTS,
    **workflow_examples.REQUESTS,
    **inquiry_examples.REQUESTS,
    **template_examples.REQUESTS,
    "submit_job": {
        "random forest on iris": SUBMIT,
        "a command": {"template": "command", "parameters": {"command": ["python", "train.py", "--lr", "0.1"]}},
    },
    "create_dataset": {
        "a file": {
            "name": "churn", "path": "churn/2026-01.csv", "description": "Customers who left", "target_column": "left",
        }
    },
}  # fmt: skip
ANSWERS: dict[str, dict[str, Any]] = {
    **control_examples.ANSWERS,
    **batch_examples.ANSWERS,
    **queue_examples.ANSWERS,
    **workflow_examples.ANSWERS,
    **analytics_examples.ANSWERS,
    **capacity_examples.ANSWERS,
    **inquiry_examples.ANSWERS,
    **template_examples.ANSWERS,
    "submit_job": {
        "201": {
            "job_id": "job_67890abcdef", "status": "QUEUED", "message": "Job submitted successfully",
            "estimated_start_time": "2024-01-01T12:05:00Z", "queue_position": 3,
            "name": "iris-random-forest-species-n100-d5",
        },
        "200": _PLAN,
    },
    "list_jobs": {"200": {"jobs": [SUMMARY], "next_cursor": None, "total": None}},
    "get_job": {"200": JOB},
    "get_job_logs": {"200": {"job_id": JOB_ID, "run_no": 1, "lines": [_LOG_LINE], "next_after": 1}},
    "get_job_metrics": {
        "200": {
            "job_id": JOB_ID, "run_no": 1,
            "metrics": {"accuracy": [{"n": 64, "value": 0.961, "step": "model_training", "at": AT}]},
        }
    },
    "list_job_artifacts": {
        "200": {
            "artifacts": [
                {
                    "name": "model.skops", "run_no": 1, "size": 186_368, "sha256": "9f" * 32,
                    "content_type": "application/octet-stream", "stored_at": AT,
                }
            ]
        }
    },
    "list_datasets": {"200": {"datasets": [_DATASET]}},
    "create_dataset": {"201": {**_DATASET, "message": "Data set registered"}},
    "get_dataset": {"200": _DATASET},
    "get_resource_availability": {
        "200": {"total": POOL, "allocated": RESOURCES, "available": LEFT, "nodes": [NODE]}
    },
    "list_nodes": {"200": {"nodes": [WHOLE_NODE]}},
    "get_worker_activity": {
        "200": {
            "workers": [
                {
                    "worker_id": "node-1", "status": "busy", "current_task_id": f"{JOB_ID}-1", "current_job_id": JOB_ID,
                    "tasks_completed": 12, "last_activity_time": AT,
                }
            ],
            "total_workers": 1,
        }
    },
    "get_health": {"200": {"status": "alive"}},
    "get_readiness": {
        "200": {
            "status": "ready",
            "checks": {
                "mongodb": "ok", "redis": "ok", "feed": "ok: watch", "scheduler": "ok: leading, term 3",
            },
            "detail": {
                "feed_mode": "watch", "index_epoch": "9f2c41d07ab3e815", "quarantined": 0,
                "scheduler": {
                    "leading": True, "term": 3, "holding_back": None,
                    "seconds_since": {
                        "cycle": 0.4, "scheduler.reconciler": 2.1, "scheduler.retention": 31.0, "scheduler.timers": 0.6,
                        "scheduler.index": 0.7, "scheduler.reaper": 1.2, "scheduler.capacity": 4.0,
                        "scheduler.batches": 0.4, "scheduler.callbacks": 0.8,
                    },
                },
            },
        }
    },
}  # fmt: skip
PROBLEM: dict[str, Any] = {
    "type": "/docs/errors/invalid",
    "title": "The request is not valid",
    "status": 422,
    "code": "invalid",
    "detail": "parameters.algoritm: unknown parameter algoritm; did you mean algorithm?",
    "instance": "/api/v1/jobs",
    "errors": [
        {
            "path": "parameters.algoritm",
            "message": "unknown parameter algoritm; did you mean algorithm?",
            "nearest": "algorithm",
        }
    ],
    "request_id": "5f0c2b9d41e7a863",
}
