"""The jobs that scenarios submit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.chaos import witness

SMALL = {"cpu_cores": 0.1, "memory_gb": 0.125, "gpu_count": 0, "storage_gb": 0}
NOOP = {"template": "noop", "executor": "inline"}


def witnessed(file: Path, seconds: float, *traits: str, **fields: Any) -> dict[str, Any]:
    """A job in a process of its own that leaves marks for so many seconds. `traits`: see `tests.chaos.witness`."""
    command = ["python", "-I", "-S", witness.__file__, str(file), str(seconds), *(f"--{trait}" for trait in traits)]
    return {"template": "command", "parameters": {"command": command}, "resources": SMALL, **fields}


def brief(seconds: float = 0.05) -> dict[str, Any]:
    """A light job without marks."""
    return {"template": "sleep", "executor": "inline", "parameters": {"seconds": seconds}}
