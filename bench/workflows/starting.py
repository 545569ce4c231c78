"""How soon a child starts after the last of its parents has ended, with 50 workflows at once, through HTTP and real
processes: chains of eight steps (inline), and diamonds whose joins wait for four. Steps of a second or so are 50 ends a
second; steps that do nothing saturate the service, so that what is seen then is its rate.

The times are those of the jobs' own histories: the child's `started_at` less the latest `finished_at` of its parents.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any
from urllib.parse import urlsplit

from bench import kit

WORKFLOWS, ROUNDS = 50, 3


def inline(step_id: str, *above: str) -> dict[str, Any]:
    return {"step_id": step_id, "job_template": "noop", "executor": "inline", "depends_on": list(above)}


def busy(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, each step of half a second to one and a half."""
    dice = random.Random(0)
    return [{**s, "job_template": "sleep", "parameters": {"seconds": round(dice.uniform(0.5, 1.5), 2)}} for s in steps]


def chain() -> list[dict[str, Any]]:
    return [inline("s0"), *(inline(f"s{n}", f"s{n - 1}") for n in range(1, 8))]


def diamonds() -> list[dict[str, Any]]:
    steps, last = [], "s"
    for n in range(2):
        steps.append(inline(last, *([f"j{n - 1}"] if n else [])))
        wide = [f"w{n}_{m}" for m in range(4)]
        steps += [inline(each, last) for each in wide]
        steps.append(inline(f"j{n}", *wide))
        last = f"t{n}"
    return steps


async def measure(port: int, database: Any, name: str, steps: list[dict[str, Any]]) -> list[float]:
    """Milliseconds for each child."""
    body = json.dumps({"workflow_name": name.replace(" ", "_"), "steps": steps}).encode()
    connections = [await kit.Connection.open(port) for _ in range(10)]

    async def some(connection: kit.Connection) -> list[str]:
        made = []
        for _ in range(WORKFLOWS // len(connections)):
            status, answer = await connection.post("/api/v1/workflows", body)
            assert status == 201, answer
            made.append(json.loads(answer)["workflow_id"])
        return made

    ids = [each for of in await asyncio.gather(*(some(c) for c in connections)) for each in of]
    for connection in connections:
        connection.close()
    end = time.monotonic() + 120
    while await database.workflows.count_documents({"_id": {"$in": ids}, "status": "COMPLETED"}) < len(ids):
        assert time.monotonic() < end, "the workflows do not end"
        await asyncio.sleep(0.1)
    above = {step["step_id"]: step["depends_on"] for step in steps}
    waits = []
    for workflow_id in ids:
        jobs = {j["step_id"]: j async for j in database.jobs.find({"workflow_id": workflow_id})}
        waits += [
            (job["started_at"] - max(jobs[p]["finished_at"] for p in above[step])).total_seconds() * 1e3
            for step, job in jobs.items()
            if above[step]
        ]
    return waits


async def run() -> None:
    with kit.service(workers=1, MAX_CONCURRENT_JOBS="0") as (base, stores):
        port = urlsplit(base).port or 0
        async with kit.database(stores["mongodb_uri"]) as database:
            shapes = (
                ("chains of steps of a second", busy(chain())),
                ("diamonds of steps of a second", busy(diamonds())),
                ("chains of steps that do nothing", chain()),
            )
            for name, steps in shapes:
                await measure(port, database, name, steps)
                rounds = [await measure(port, database, name, steps) for _ in range(ROUNDS)]
                medians = kit.spread([kit.percentile(r, 50) for r in rounds])
                tails = kit.spread([kit.percentile(r, 99) for r in rounds])
                what = f"end of the last parent → start of the child, {WORKFLOWS} {name} at once"
                print(f"{what}: median {medians} ms, p99 {tails} ms")
