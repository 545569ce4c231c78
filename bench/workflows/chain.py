"""A chain of jobs whose first fails: how long until all that can never run have ended, and one has named the cause.

`python -m bench.workflows.chain [DESCENDANTS] [ROUNDS]`.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta

from app.clock import SystemClock
from app.domain.timestamps import rfc3339
from bench import kit

DESCENDANTS, ROUNDS = 50, 5
BOUND = 2.0
"""Seconds."""


def submit(base: str, **fields: object) -> str:
    return str(kit.post(f"{base}/api/v1/jobs", {"template": "noop", "executor": "inline", **fields})["job_id"])


def measure(base: str, descendants: int) -> float:
    """Seconds from the moment at which the first job has failed, by its own history, to the end of the last."""
    body = {"template": "command", "parameters": {"command": ["false"]}, "retry_policy": {"max_attempts": 1}}
    first = last = str(
        kit.post(f"{base}/api/v1/jobs", {**body, "start_after": in_seconds(2 + descendants / 100)})["job_id"]
    )
    for _ in range(descendants):
        last = submit(base, dependencies=[last])
    ends = {job_id: end_of(base, job_id) for job_id in (first, last)}
    if ends[last][1] != first:
        raise RuntimeError(f"the last of them names {ends[last][1]}, not {first}")
    return ends[last][0] - ends[first][0]


def in_seconds(seconds: float) -> str:
    return rfc3339(SystemClock().now() + timedelta(seconds=seconds))


def end_of(base: str, job_id: str) -> tuple[float, str | None]:
    """When the job ended, in seconds, and what its last entry names."""
    while True:
        job = kit.get(f"{base}/api/v1/jobs/{job_id}")
        if job["status"] == "FAILED":
            last = job["history"][-1]
            return datetime.fromisoformat(last["at"]).timestamp(), last["detail"]
        time.sleep(0.05)


def main() -> None:
    descendants, rounds = (int(given) for given in (*sys.argv[1:], *(DESCENDANTS, ROUNDS)[len(sys.argv) - 1 :]))
    print(kit.machine())
    with kit.service(workers=1) as (base, _):
        found = [measure(base, descendants) for _ in range(rounds)]
    print(f"{descendants} descendants ended within {kit.spread(found, 2)} s of the failure, bound {BOUND:g} s for 50")


if __name__ == "__main__":
    main()
