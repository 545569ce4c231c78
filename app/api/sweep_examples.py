"""Examples of sweeps."""

from __future__ import annotations

from typing import Any

from app.api.object_examples import JOB_ID

BATCH_ID = "batch_01kdvjm0q8m4x2c7w9f3e00000"
SWEEP: dict[str, Any] = {
    "sweep": {
        "template": "hyperparameter_tuning",
        "parameters": {"algorithm": "svm"},
        "space": {
            "C": {"type": "log", "low": 0.001, "high": 1000},
            "kernel": {"type": "categorical", "values": ["rbf", "poly"]},
            "degree": {"type": "int", "low": 2, "high": 5, "when": {"kernel": "poly"}},
        },
        "strategy": "tpe",
        "objective": "accuracy",
        "direction": "maximize",
        "max_trials": 40,
        "max_parallel": 8,
        "seed": 0,
        "goal": None,
        "early_stopping": {"eta": 3, "min_step": 1},
    }
}
"""The body of the contract."""
LEADERBOARD: dict[str, Any] = {
    "batch_id": BATCH_ID,
    "status": "RUNNING",
    "strategy": "tpe",
    "objective": "accuracy",
    "direction": "maximize",
    "max_trials": 40,
    "asked": 30,
    "ended": 22,
    "without_value": 0,
    "best": {
        "job_id": JOB_ID,
        "number": 17,
        "value": 0.9737,
        "parameters": {"C": 4.21, "kernel": "rbf"},
        "model": f"{JOB_ID}/model.skops",
        "model_url": f"/api/v1/jobs/{JOB_ID}/artifacts/model.skops",
    },
    "importance": {"C": 0.81, "kernel": 0.19},
    "trials": [
        {
            "rank": 1,
            "number": 17,
            "job_id": JOB_ID,
            "state": "completed",
            "parameters": {"C": 4.21, "kernel": "rbf"},
            "value": 0.9737,
            "step": None,
            "rung": None,
            "cluster_seconds": 1.204,
        }
    ],
    "next_cursor": "Ym9hcmQgYmF0Y2hfMDFoY3BmY3JrMGYwOHAxazFwcWxnZDAwMCAx",
}
