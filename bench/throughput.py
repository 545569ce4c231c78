"""End to end through HTTP: `noop` jobs, inline executor, one worker; every transition is a majority write.

The clock runs from the first send to the last COMPLETED. The processor time of each process tells what the ceiling is.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

import psutil

from bench import kit

JOBS, ROUNDS, CLIENTS = 5_000, 3, 32


async def measure(port: int, jobs: object) -> tuple[float, float]:
    """Jobs a second end to end, and submits a second."""
    before = await jobs.count_documents({"status": "COMPLETED"})  # type: ignore[attr-defined]
    body = json.dumps({"template": "noop", "executor": "inline"}).encode()
    started = time.monotonic()
    await kit.post_all(port, "/api/v1/jobs", body, JOBS, CLIENTS)
    submitted = time.monotonic()
    while await jobs.count_documents({"status": "COMPLETED"}) < before + JOBS:  # type: ignore[attr-defined]
        if time.monotonic() - started > 300:
            raise TimeoutError("jobs did not complete")
        await asyncio.sleep(0.05)
    return JOBS / (time.monotonic() - started), JOBS / (submitted - started)


def processor_seconds() -> dict[str, float]:
    """Per kind of process below this one: processor seconds so far."""
    kinds = {"mongod": "mongod", "valkey-server": "valkey", "tensorfleet serve": "API and scheduler",
             "tensorfleet worker": "worker", "workers.warm": "warm child"}  # fmt: skip
    found: dict[str, float] = {"client": sum(psutil.Process().cpu_times()[:2])}
    for child in psutil.Process().children(recursive=True):
        line = " ".join(child.cmdline())
        kind = next((label for mark, label in kinds.items() if mark in line), "other")
        found[kind] = found.get(kind, 0.0) + sum(child.cpu_times()[:2])
    return found


async def run() -> None:
    print(kit.machine())
    with kit.service(workers=1, MAX_CONCURRENT_JOBS="0") as (base, stores):
        port = urlsplit(base).port or 0
        async with kit.database(stores["mongodb_uri"]) as found:
            rates, submits = [], []
            await measure(port, found.jobs)
            before = processor_seconds()
            for _ in range(ROUNDS):
                rate, submit = await measure(port, found.jobs)
                rates.append(rate)
                submits.append(submit)
            used = {k: (v - before.get(k, 0.0)) / (ROUNDS * JOBS) * 1e3 for k, v in processor_seconds().items()}
    print(f"noop, inline, one worker: {kit.spread(rates, 0)} jobs/s end to end; accepted {kit.spread(submits, 0)}/s")
    print("processor ms a job: " + ", ".join(f"{k} {v:.2f}" for k, v in sorted(used.items(), key=lambda x: -x[1])))


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))
