"""A job and a node as they are answered: what the examples of all operations are made of."""

from __future__ import annotations

from typing import Any

AT = "2026-01-01T12:00:00.000Z"
JOB_ID = "job_01kdvjm0q8m4x2c7w9f3e5t6y1"
RESOURCES = {"cpu_cores": 4, "memory_gb": 8, "gpu_count": 0, "storage_gb": 10}
POOL = {"cpu_cores": 64, "memory_gb": 256, "gpu_count": 8, "storage_gb": 1000}
LEFT = {"cpu_cores": 60, "memory_gb": 248, "gpu_count": 8, "storage_gb": 990}
POLICY = {
    "max_attempts": 3, "retry_delay": 60, "backoff": "exponential", "max_delay": 600, "jitter": 0.1,
    "retry_on": ["error", "worker_lost", "out_of_memory"], "memory_growth": 1.5,
}  # fmt: skip
DURATION = {
    "median": 41.0, "mean": 44.5, "cautious": 62.0, "source": "history",
    "group": "tenant, template, algorithm, dataset", "runs": 37,
}  # fmt: skip
PARAMETERS = {
    "dataset_name": "iris",
    "algorithm": "random_forest",
    "target_column": "species",
    "hyperparameters": {"n_estimators": 100, "max_depth": 5},
}
SUBMIT = {
    "template": "ml_training_template",
    "parameters": PARAMETERS,
    "priority": "high",
    "resources": {"cpu_cores": 4, "memory_gb": 8},
    "dependencies": [],
    "retry_policy": {"max_attempts": 3, "retry_delay": 60},
}
ENTRY = {
    "seq": 1, "from": None, "to": "QUEUED", "reason": "submitted", "at": AT, "actor": "anonymous", "attempt": 0,
    "run_no": 0, "detail": None,
}  # fmt: skip
WHY = {"code": "position", "summary": "2 jobs are before it", "facts": {"ahead": 2, "class": "high"}}
FIRST = {"code": "position", "summary": "next in the queue", "facts": {"ahead": 0, "class": "urgent"}}
SUMMARY: dict[str, Any] = {
    "job_id": JOB_ID,
    "name": "iris-random-forest-species-n100-d5",
    "tenant": "default",
    "status": "QUEUED",
    "seq": 1,
    "template": "ml_training_template",
    "template_version": 1,
    "batch_id": None,
    "workflow_id": None,
    "step_id": None,
    "step_item": None,
    "tags": [],
    "metadata": {},
    "resources": RESOURCES,
    "priority": "high",
    "effective_priority": "high",
    "dependencies": [],
    "dependency_type": "all_complete",
    "retry_policy": POLICY,
    "timeout": 3600,
    "start_after": None,
    "queue_deadline": None,
    "node_selector": {},
    "prefer": {},
    "preemptible": False,
    "executor": "process",
    "limits": [],
    "expected_duration": DURATION,
    "submitted_at": AT,
    "started_at": None,
    "finished_at": None,
    "node_id": None,
    "attempt": 0,
    "max_attempts": 3,
    "run_no": 0,
    "infra_losses": 0,
    "paused_from": None,
    "control": None,
    "progress": 0.0,
    "current_step": None,
    "metrics": {},
    "error": None,
    "wait_reason": WHY,
    "wait_reasons": [WHY],
    "queue_position": 3,
    "reserved": None,
    "estimated_start_time": "2026-01-01T12:05:00.000Z",
    "estimated_start_low": "2026-01-01T12:01:40.000Z",
    "estimated_start_high": "2026-01-01T12:15:02.000Z",
}
SIZED = {"cpu_cores": 2, "memory_gb": 0.312, "gpu_count": 0, "storage_gb": 10}
SIZING = {
    "resources": RESOURCES,
    "duration": {"q50": 41.0, "q90": 62.0},
    "source": "request",
    "suggestion": SIZED,
    "group": "tenant, template, algorithm, dataset",
    "runs": 37,
    "last_run_at": AT,
    "prior": {
        "cpu_cores": 8.0, "memory_gb": 0.0475, "seconds": 0.515, "gpu_memory_gb": None,
        "features": {"algorithm": "random_forest", "rows": 150, "columns": 4, "trees": 100.0, "depth": 5.0},
    },
    "quantile": 0.95,
    "margin": 1.027,
    "assumed": [],
    "alternatives": [
        {"resources": {**SIZED, "memory_gb": 0.25}, "oom_risk": 0.35}, {"resources": SIZED, "oom_risk": 0.03},
        {"resources": {**SIZED, "memory_gb": 0.375}, "oom_risk": 0.03},
    ],
    "outcome_of_group": {"oom_rate": 0.0, "waste": 0.24},
}  # fmt: skip
JOB = {
    **SUMMARY,
    "parameters": PARAMETERS,
    "sizing": SIZING,
    "steps": [{"step": "data_preparation", "status": "PENDING", "started_at": None, "finished_at": None, "text": None}],
    "attempts": [],
    "result": None,
    "history": [ENTRY],
}
NODE = {
    "node_id": "node-1", "state": "READY", "labels": {"zone": "a"}, "logical": True, "total": POOL,
    "allocated": RESOURCES, "available": LEFT,
}  # fmt: skip
WHOLE_NODE = {
    **NODE, "epoch": 1, "registered_at": AT, "lease_until": "2026-01-01T12:01:00.000Z", "drain": None,
    "allocations": [{"job_id": JOB_ID, "run_no": 1, "resources": RESOURCES, "gpu_indices": []}],
    "facts": {"cpus": 2}, "settings_differ": [],
}  # fmt: skip
