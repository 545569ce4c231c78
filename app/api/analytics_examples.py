"""Examples of measurements."""

from __future__ import annotations

from typing import Any

ANSWERS: dict[str, dict[str, Any]] = {
    "get_analytics": {
        "200": {
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
            }
        }
    },
}
