"""`tensorfleet replay FILE`: run the planner on a recorded decision, and say whether it decides the same."""

from __future__ import annotations

import json
from pathlib import Path

from app.scheduler.replaying import Unreplayable, replay
from app.startup import StartupTrouble


def run(file: Path) -> int:
    """0 when the plan is what was recorded, else 1. Raises StartupTrouble (exit 2) for a file that holds no record."""
    try:
        found = replay(json.loads(file.read_bytes()))
    except OSError as error:
        raise StartupTrouble(f"{file} cannot be read: {error.strerror}", exit_code=2) from error
    except ValueError as error:
        raise StartupTrouble(f"{file} is not JSON: {error}", exit_code=2) from error
    except Unreplayable as error:
        raise StartupTrouble(f"{file}: {error}", exit_code=2) from error
    for placement in found.plan["placements"]:
        print(f"{placement['job_id']}  {placement['node_id']}{'  overdue' if placement['overdue'] else ''}")
    for promise in found.plan["reservations"]:
        print(f"{promise['job_id']}  promised {promise['node_id']}")
    print("identical" if not found.differences else "\n".join(["not identical", *found.differences]))
    return 1 if found.differences else 0
