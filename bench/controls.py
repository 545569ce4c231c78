"""Controls of running jobs: from the client's send of a cancel, pause or resume to the state that it leads to.

The jobs are `sleep` steps, which heed their stop: what is measured is the way of a control to its node and back. The
raw part beside it is one awaited majority write and one bell over Redis, the least that any way through the stores
takes.
"""

from __future__ import annotations

import asyncio
import json
import time
from urllib.parse import urlsplit

from redis.asyncio import Redis

from bench import kit

JOBS, WAIT_SECONDS = 30, 30.0
RESOURCES = {"cpu_cores": 0.1, "memory_gb": 0.1, "storage_gb": 0}


async def reached(jobs: object, job_id: str, status: str) -> None:
    """Until the document says so, looked at each two milliseconds."""
    end = time.perf_counter() + WAIT_SECONDS
    while (await jobs.find_one({"_id": job_id}, {"status": 1}))["status"] != status:  # type: ignore[attr-defined]
        if time.perf_counter() > end:
            raise TimeoutError(f"{job_id} did not become {status}")
        await asyncio.sleep(0.002)


async def running(connection: kit.Connection, jobs: object, executor: str) -> str:
    """The id of a job that has begun."""
    body = {"template": "sleep", "parameters": {"seconds": 600}, "executor": executor, "resources": RESOURCES}
    status, answer = await connection.post("/api/v1/jobs", json.dumps(body).encode())
    assert status == 201, answer
    job_id: str = json.loads(answer)["job_id"]
    await reached(jobs, job_id, "RUNNING")
    return job_id


async def milliseconds(connection: kit.Connection, jobs: object, job_id: str, control: str, status: str) -> float:
    sent = time.perf_counter()
    code, answer = await connection.post(f"/api/v1/jobs/{job_id}/{control}", b"{}")
    assert code == 200, answer
    await reached(jobs, job_id, status)
    return (time.perf_counter() - sent) * 1e3


async def raw(found: object, redis_url: str) -> list[float]:
    """One majority write and one ring, one after the other, as often."""
    taken = []
    async with Redis.from_url(redis_url) as redis:
        for n in range(JOBS):
            began = time.perf_counter()
            await found.bench.update_one({"_id": n}, {"$set": {"n": n}}, upsert=True)  # type: ignore[attr-defined]
            await redis.publish("bench", "look")
            taken.append((time.perf_counter() - began) * 1e3)
    return taken


async def measure(port: int, jobs: object, executor: str) -> dict[str, list[float]]:
    connection = await kit.Connection.open(port)
    taken: dict[str, list[float]] = {"pause": [], "resume": [], "cancel": []}
    for _ in range(JOBS):
        job_id = await running(connection, jobs, executor)
        if executor == "process":
            await asyncio.sleep(0.3)
            taken["pause"].append(await milliseconds(connection, jobs, job_id, "pause", "PAUSED"))
            taken["resume"].append(await milliseconds(connection, jobs, job_id, "resume", "RUNNING"))
        taken["cancel"].append(await milliseconds(connection, jobs, job_id, "cancel", "CANCELLED"))
    connection.close()
    return taken


async def run() -> None:
    print(kit.machine())
    with kit.service(workers=1) as (base, stores):
        async with kit.database(stores["mongodb_uri"]) as found:
            least = await raw(found, stores["redis_url"])
            print(f"raw: one majority write and a ring: median {kit.percentile(least, 50):.1f} ms")
            for executor in ("process", "inline"):
                for control, values in (await measure(urlsplit(base).port or 0, found.jobs, executor)).items():
                    if values:
                        ends = f"median {kit.percentile(values, 50):.0f} ms, p99 {kit.percentile(values, 99):.0f} ms"
                        print(f"{control} of a running job, {executor}: {ends} (n={len(values)})")


if __name__ == "__main__":
    asyncio.run(run())
