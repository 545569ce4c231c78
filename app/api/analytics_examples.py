"""Examples of measurements."""

from __future__ import annotations

from typing import Any

_WINDOW = {
    "from": "2026-01-01T12:00:00.000Z",
    "to": "2026-01-02T12:00:30.000Z",
    "seconds": 86430.0,
    "settled_to": "2026-01-02T12:00:00.000Z",
}
_WAIT = {"mean": 41.7, "p50": 12.6, "p90": 103.2, "p99": 412.9}
_RUN = {"mean": 183.4, "p50": 121.5, "p90": 402.8, "p99": 1210.0}
_UNMEASURED = {"allocated_hours": 0.0, "used_hours": None, "used_share": None}
_USES = {
    "cpu_cores": {"allocated_hours": 96.2, "used_hours": 61.4, "used_share": 0.638},
    "memory_gb": {"allocated_hours": 201.5, "used_hours": 118.3, "used_share": 0.587},
    "gpu_count": _UNMEASURED,
    "storage_gb": {"allocated_hours": 240.0, "used_hours": None, "used_share": None},
}
_GROUP = {
    "runs": 431,
    "completed_jobs": 402,
    "success_rate": 0.976,
    "retry_rate": 0.034,
    "out_of_memory_rate": 0.012,
    "wait": _WAIT,
    "run": _RUN,
    "use": _USES,
}

ANSWERS: dict[str, dict[str, Any]] = {
    "get_analytics": {
        "200": {
            "window": _WINDOW,
            "throughput": {
                "jobs_per_hour": 16.7442,
                "avg_completion_time": 232.6,
                "queue_wait_time": 41.7,
                "completed_jobs": 402,
                "ended_runs": 431,
                "wait": _WAIT,
                "run": _RUN,
            },
            "resource_utilization": {
                "cpu_utilization": 0.627,
                "memory_utilization": 0.414,
                "gpu_utilization": 0.25,
                "samples": 1440,
                "pool": {
                    "cpu_cores": {"capacity": 64.0, "allocated": 40.1, "used": 25.6, "utilization": 0.627},
                    "memory_gb": {"capacity": 256.0, "allocated": 106.0, "used": 61.7, "utilization": 0.414},
                    "gpu_count": {"capacity": 8.0, "allocated": 2.0, "used": None, "utilization": 0.25},
                    "storage_gb": {"capacity": 1000.0, "allocated": 120.0, "used": None, "utilization": 0.12},
                },
                "finished_runs": _USES,
            },
            "success_metrics": {
                "success_rate": 0.976,
                "retry_rate": 0.034,
                "failure_analysis": [
                    {
                        "fingerprint": "5f2a9d01c3b47e88",
                        "type": "KeyError",
                        "step": "data_preparation",
                        "message": "keyerror: 'age'",
                        "frame": "preparation.py:select",
                        "outcome": "error",
                        "template": "ml_training",
                        "runs": 14,
                        "share": 0.5,
                        "last_at": "2026-01-02T11:42:10.120Z",
                        "example_job_id": "job_06a1b2c3d4e5f6g7h8i9j0k1l2",
                        "example_run_no": 3,
                    }
                ],
                "jobs": 412,
                "ended": {"COMPLETED": 402, "FAILED": 8, "TIMEOUT": 2, "CANCELLED": 5},
                "failed_runs": 28,
                "other_failures": 0,
            },
            "groups": {
                "class": [{"name": "normal", **_GROUP}],
                "template": [{"name": "ml_training", **_GROUP}],
                "algorithm": [{"name": "random_forest", **_GROUP}],
                "tenant": [{"name": "default", **_GROUP}],
            },
            "waits": [
                {"reason": "resources", "waiting_seconds": 13860.0, "share": 0.7, "mean_jobs": 0.16},
                {"reason": "dependencies", "waiting_seconds": 5940.0, "share": 0.3, "mean_jobs": 0.069},
            ],
            "sizing": {
                "examined_runs": 407,
                "compared_runs": 361,
                "allocated": {"waste": 0.37, "out_of_memory_rate": 0.022},
                "sources": [
                    {"source": "history", "runs": 290, "waste": 0.33, "out_of_memory_rate": 0.02},
                    {"source": "request", "runs": 71, "waste": 0.55, "out_of_memory_rate": 0.03},
                ],
                "baselines": [
                    {"rule": "window_maximum", "waste": 0.37, "out_of_memory_rate": 0.03},
                    {"rule": "vpa_p90", "waste": 0.31, "out_of_memory_rate": 0.041},
                ],
            },
            "start_estimates": {
                "scored": 412,
                "inside": 0.806,
                "early": 0.118,
                "late": 0.0752,
                "pinball_ratio": 0.41,
                "outcomes": [
                    {
                        "class": "normal",
                        "predicted_wait": "< 10 min",
                        "results": {"cancelled": 9, "early": 49, "inside": 332, "late": 31},
                    }
                ],
            },
        }
    },
    "get_analytics_timeseries": {
        "200": {
            "window": {**_WINDOW, "from": "2026-01-02T10:00:00.000Z", "seconds": 7230.0},
            "step_seconds": 3600.0,
            "times": ["2026-01-02T10:00:00.000Z", "2026-01-02T11:00:00.000Z", "2026-01-02T12:00:00.000Z"],
            "series": [
                {"metric": "queue_length", "unit": "jobs", "values": [4.2, 11.7, None]},
                {"metric": "completed_jobs", "unit": "jobs", "values": [18.0, 15.0, 0.0]},
            ],
        }
    },
}
