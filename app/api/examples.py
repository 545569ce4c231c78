"""Examples of the document: each request and answer, those of the contract verbatim. A test validates every one."""

from __future__ import annotations

from typing import Any

_T = "2026-01-01T12:00:00.000Z"
_ID = "job_01kdvjm0q8m4x2c7w9f3e5t6y1"
_RESOURCES = {"cpu_cores": 4, "memory_gb": 8, "gpu_count": 0, "storage_gb": 10}
_POOL = {"cpu_cores": 64, "memory_gb": 256, "gpu_count": 8, "storage_gb": 1000}
_LEFT = {"cpu_cores": 60, "memory_gb": 248, "gpu_count": 8, "storage_gb": 990}
_POLICY = {
    "max_attempts": 3, "retry_delay": 60, "backoff": "exponential", "max_delay": 600, "jitter": 0.1,
    "retry_on": ["error", "worker_lost", "out_of_memory"],
}  # fmt: skip
_PARAMETERS = {
    "dataset_name": "iris",
    "algorithm": "random_forest",
    "target_column": "species",
    "hyperparameters": {"n_estimators": 100, "max_depth": 5},
}
_SUBMIT = {
    "template": "ml_training_template",
    "parameters": _PARAMETERS,
    "priority": "high",
    "resources": {"cpu_cores": 4, "memory_gb": 8},
    "dependencies": [],
    "retry_policy": {"max_attempts": 3, "retry_delay": 60},
}
_ENTRY = {
    "seq": 1, "from": None, "to": "QUEUED", "reason": "submitted", "at": _T, "actor": "anonymous", "attempt": 0,
    "run_no": 0, "detail": None,
}  # fmt: skip
_WHY = {"code": "position", "summary": "2 jobs are before it", "facts": {"ahead": 2, "class": "high"}}
_SUMMARY: dict[str, Any] = {
    "job_id": _ID,
    "name": "iris-random-forest-species-n100-d5",
    "status": "QUEUED",
    "seq": 1,
    "template": "ml_training_template",
    "template_version": 1,
    "batch_id": None,
    "workflow_id": None,
    "step_id": None,
    "tags": [],
    "metadata": {},
    "resources": _RESOURCES,
    "priority": "high",
    "effective_priority": "high",
    "dependencies": [],
    "dependency_type": "all_complete",
    "retry_policy": _POLICY,
    "timeout": 3600,
    "start_after": None,
    "queue_deadline": None,
    "node_selector": {},
    "preemptible": False,
    "executor": "process",
    "limits": [],
    "submitted_at": _T,
    "started_at": None,
    "finished_at": None,
    "node_id": None,
    "attempt": 0,
    "max_attempts": 3,
    "run_no": 0,
    "paused_from": None,
    "progress": 0.0,
    "current_step": None,
    "metrics": {},
    "error": None,
    "wait_reason": _WHY,
    "wait_reasons": [_WHY],
    "queue_position": 3,
    "estimated_start_time": "2026-01-01T12:05:00.000Z",
    "estimated_start_low": "2026-01-01T12:01:40.000Z",
    "estimated_start_high": "2026-01-01T12:15:02.000Z",
}
_JOB = {
    **_SUMMARY,
    "parameters": _PARAMETERS,
    "steps": [{"step": "data_preparation", "status": "PENDING", "started_at": None, "finished_at": None, "text": None}],
    "attempts": [],
    "result": None,
    "history": [_ENTRY],
}
_CANCELLED = {
    **_JOB,
    "status": "CANCELLED",
    "seq": 2,
    "finished_at": "2026-01-01T12:00:03.250Z",
    "wait_reason": None,
    "wait_reasons": [],
    "queue_position": None,
    "estimated_start_time": None,
    "estimated_start_low": None,
    "estimated_start_high": None,
    "history": [
        _ENTRY,
        {
            **_ENTRY, "seq": 2, "from": "QUEUED", "to": "CANCELLED", "reason": "cancelled",
            "at": "2026-01-01T12:00:03.250Z", "detail": "no longer needed",
        },
    ],
}  # fmt: skip
_TEMPLATE = {
    "id": "custom_training_template",
    "name": "custom_training_template",
    "description": "Custom training workflow",
    "category": "machine_learning",
    "version": 1,
    "built_in": False,
    "base_template": "ml_training_template",
    "base_version": 1,
    "parameters": [
        {
            "name": "algorithm", "type": "string", "required": False, "default": "random_forest",
            "options": ["random_forest", "svm"], "minimum": None, "maximum": None, "pattern": None,
            "description": "What is trained.", "aliases": [],
        }
    ],
    "default_parameters": {"algorithm": "random_forest", "validation_strategy": "cross_validation"},
    "resource_requirements": _RESOURCES,
    "execution_steps": [{"step": "model_training", "timeout": 1800, "command": None, "env": {}}],
    "executor": "process",
    "retry_policy": {},
    "timeout": None,
    "resume": None,
    "created_at": _T,
}  # fmt: skip
_DERIVED = {
    "name": "custom_training_template",
    "description": "Custom training workflow",
    "base_template": "ml_training_template",
    "custom_parameters": {
        "preprocessing_steps": ["normalize", "feature_selection"],
        "validation_strategy": "cross_validation",
    },
}
_WHOLE = {
    "job_template": {
        "name": "my_training",
        "description": "Training on my data",
        "default_parameters": {"algorithm": "random_forest"},
        "resource_requirements": {"cpu_cores": 2, "memory_gb": 4, "gpu_count": 0, "storage_gb": 10},
        "execution_steps": [
            {"step": "data_preparation", "timeout": 300},
            {"step": "model_training", "timeout": 1800},
        ],
    }
}
_DATASET = {
    "name": "churn",
    "kind": "registered",
    "path": "churn/2026-01.csv",
    "description": "Customers who left",
    "target_column": "left",
    "rows": None,
    "features": None,
    "task": None,
    "registered_at": _T,
}
_NODE = {
    "node_id": "node-1", "state": "READY", "labels": {"zone": "a"}, "logical": True, "total": _POOL,
    "allocated": _RESOURCES, "available": _LEFT,
}  # fmt: skip
_PLAN = {
    "name": "iris-random-forest-species-n100-d5",
    "template": "ml_training_template",
    "template_version": 1,
    "parameters": _PARAMETERS,
    "resources": _RESOURCES,
    "resources_from": {
        "cpu_cores": "request", "memory_gb": "request", "gpu_count": "template", "storage_gb": "template",
    },
    "executor": "process",
    "execution_steps": [{"step": "data_preparation", "timeout": 300}],
    "retry_policy": _POLICY,
    "timeout": 3600,
    "priority": "high",
    "dependencies": [],
    "status": "QUEUED",
    "queue_position": 3,
    "estimated_start_time": "2026-01-01T12:05:00.000Z",
    "estimated_start_low": "2026-01-01T12:01:40.000Z",
    "estimated_start_high": "2026-01-01T12:15:02.000Z",
}  # fmt: skip
_LOG_LINE = {"n": 1, "at": _T, "step": "model_training", "stream": "stdout", "text": "64 of 100 trees"}

REQUESTS: dict[str, dict[str, Any]] = {
    "submit_job": {
        "random forest on iris": _SUBMIT,
        "a command": {"template": "command", "parameters": {"command": ["python", "train.py", "--lr", "0.1"]}},
    },
    "cancel_job": {"with a reason": {"reason": "no longer needed"}},
    "create_template": {"inheriting": _DERIVED, "whole": _WHOLE},
    "create_dataset": {
        "a file": {
            "name": "churn", "path": "churn/2026-01.csv", "description": "Customers who left", "target_column": "left",
        }
    },
}  # fmt: skip
ANSWERS: dict[str, dict[str, Any]] = {
    "submit_job": {
        "201": {
            "job_id": "job_67890abcdef", "status": "QUEUED", "message": "Job submitted successfully",
            "estimated_start_time": "2024-01-01T12:05:00Z", "queue_position": 3,
            "name": "iris-random-forest-species-n100-d5",
        },
        "200": _PLAN,
    },
    "list_jobs": {"200": {"jobs": [_SUMMARY], "next_cursor": None, "total": None}},
    "get_job": {"200": _JOB},
    "delete_job": {"200": _CANCELLED},
    "cancel_job": {"200": _CANCELLED},
    "get_job_logs": {"200": {"job_id": _ID, "run_no": 1, "lines": [_LOG_LINE], "next_after": 1}},
    "get_job_metrics": {
        "200": {
            "job_id": _ID, "run_no": 1,
            "metrics": {"accuracy": [{"n": 64, "value": 0.961, "step": "model_training", "at": _T}]},
        }
    },
    "list_job_artifacts": {
        "200": {
            "artifacts": [
                {
                    "name": "model.skops", "run_no": 1, "size": 186_368, "sha256": "9f" * 32,
                    "content_type": "application/octet-stream", "stored_at": _T,
                }
            ]
        }
    },
    "list_templates": {"200": {"templates": [_TEMPLATE]}},
    "create_template": {"201": _TEMPLATE},
    "get_template": {"200": _TEMPLATE},
    "list_datasets": {"200": {"datasets": [_DATASET]}},
    "create_dataset": {"201": _DATASET},
    "get_dataset": {"200": _DATASET},
    "get_queue_status": {
        "200": {
            "queue_length": 15, "running_jobs": 8, "pending_jobs": 7, "scheduled_jobs": 0, "paused_jobs": 0,
            "queues": {
                "urgent": {"length": 2, "avg_wait_time": "2m 30s", "avg_wait_seconds": 150.0},
                "high": {"length": 5, "avg_wait_time": "8m 15s", "avg_wait_seconds": 495.0},
                "normal": {"length": 8, "avg_wait_time": "15m 45s", "avg_wait_seconds": 945.0},
                "low": {"length": 0, "avg_wait_time": "0s", "avg_wait_seconds": 0.0},
            },
        }
    },
    "list_queue": {"200": {"jobs": [_SUMMARY], "next_cursor": None}},
    "get_resource_availability": {
        "200": {"total": _POOL, "allocated": _RESOURCES, "available": _LEFT, "nodes": [_NODE]}
    },
    "list_nodes": {
        "200": {
            "nodes": [
                {
                    **_NODE, "epoch": 1, "registered_at": _T, "lease_until": "2026-01-01T12:01:00.000Z",
                    "allocations": [{"job_id": _ID, "run_no": 1, "resources": _RESOURCES, "gpu_indices": []}],
                    "facts": {"cpus": 2},
                }
            ]
        }
    },
    "get_worker_activity": {
        "200": {
            "workers": [
                {
                    "worker_id": "node-1", "status": "busy", "current_task_id": f"{_ID}-1", "current_job_id": _ID,
                    "tasks_completed": 12, "last_activity_time": _T,
                }
            ],
            "total_workers": 1,
        }
    },
    "get_health": {"200": {"status": "alive"}},
    "get_readiness": {"200": {"status": "ready", "checks": {"mongodb": "ok", "redis": "ok", "feed": "ok: watch"}}},
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
