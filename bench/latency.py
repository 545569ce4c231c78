"""Idle latency: from the client's send of one `noop` job to its RUNNING, one at a time with pauses in between."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime
from urllib.parse import urlsplit

from app.clock import SystemClock
from bench import kit

SAMPLES, ROUNDS = 60, 3


async def measure(port: int, jobs: object, executor: str) -> list[float]:
    """Milliseconds from send to `started_at`, which is written with a clock of the same machine."""
    connection = await kit.Connection.open(port)
    body = json.dumps({"template": "noop", "executor": executor}).encode()
    sent: dict[str, datetime] = {}
    clock = SystemClock()
    for _ in range(SAMPLES):
        now = clock.now()
        status, answer = await connection.post("/api/v1/jobs", body)
        assert status == 201, answer
        sent[json.loads(answer)["job_id"]] = now
        await asyncio.sleep(random.uniform(0.05, 0.15))
    await asyncio.sleep(1)
    connection.close()
    found = {d["_id"]: d["started_at"] async for d in jobs.find({"_id": {"$in": list(sent)}})}  # type: ignore[attr-defined]
    return [(found[i].replace(tzinfo=found[i].tzinfo or UTC) - at).total_seconds() * 1e3 for i, at in sent.items()]


async def run() -> None:
    print(kit.machine())
    with kit.service(workers=1) as (base, stores):
        async with kit.database(stores["mongodb_uri"]) as found:
            for executor in ("inline", "process"):
                await measure(urlsplit(base).port or 0, found.jobs, executor)
                rounds = [await measure(urlsplit(base).port or 0, found.jobs, executor) for _ in range(ROUNDS)]
                medians = kit.spread([kit.percentile(r, 50) for r in rounds])
                tails = kit.spread([kit.percentile(r, 99) for r in rounds])
                print(f"submit → RUNNING, noop, {executor}: median {medians} ms, p99 {tails} ms")


if __name__ == "__main__":
    asyncio.run(run())
