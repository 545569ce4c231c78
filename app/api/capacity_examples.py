"""Example of the capacity plan."""

from __future__ import annotations

from typing import Any

from app.api.object_examples import AT

_REASON: dict[str, Any] = {
    "class": "normal", "bucket": "3a7f0c52d1e98b46", "waiting": 40, "target": 1800, "forecast": 5400.0, "slots": 22,
    "late": True, "resources": {"cpu_cores": 4, "memory_gb": 16, "gpu_count": 1, "storage_gb": 10},
    "node_selector": {},
}  # fmt: skip
_TOO_LARGE: dict[str, Any] = {
    **_REASON, "class": "low", "bucket": "b1d4e09c77a2f350", "waiting": 1, "target": 14_400, "forecast": None,
    "slots": 2, "late": False, "resources": {"cpu_cores": 8, "memory_gb": 64, "gpu_count": 1, "storage_gb": 10},
    "node_selector": {"gpu": "a100"},
}  # fmt: skip
ANSWERS: dict[str, dict[str, Any]] = {
    "get_resource_plan": {
        "200": {
            "now": AT,
            "provider": "local",
            "desired": [{"type": "gpu", "count": 4}],
            "present": [
                {"type": "gpu", "count": 2, "booting": 1, "draining": 1},
                {"type": None, "count": 1, "booting": 0, "draining": 0},
            ],
            "add": [{"type": "gpu", "count": 1}],
            "drain": [{"node": "local-gpu-2", "empty_at": "2026-01-01T12:05:00.000Z"}],
            "reasons": [_REASON],
            "limited_by": [{"limit": "NODE_TYPES max", "type": "gpu", "allowed": 4, "wanted": None}],
            "cost_per_hour": {"present": 9.6, "desired": 12.8},
            "unplannable": [_TOO_LARGE],
            "pending": {"plan_id": "p3x189388800000000", "since": AT, "tries": 1},
            "trouble": "Unanswered: answered 503",
        }
    }
}
