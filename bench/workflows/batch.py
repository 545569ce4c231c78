"""A batch of 10,000 jobs: how long until it is answered, and how long others wait for `GET /queue/status` meanwhile.

`python -m bench.workflows.batch [JOBS] [ROUNDS]`. Each job of a batch has another parameter, so that each gets another
name. The queue is paused: the trainings would take the cores of client, service and stores, which are the same here.
Others look twenty times a second. Beside it in the same run stands the raw part: as many documents of that size,
written by PyMongo alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any

import httpx

from bench import kit

JOBS, ROUNDS = 10_000, 3
ANSWERED, STATUS = 3.0, 0.2
"""Seconds: the bounds."""
QUIET = 1.0
PAUSE = 0.05
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds: until the answer, of every look at the queue meanwhile, of the looks before, and of the raw part."""

    answered: float
    meanwhile: list[float]
    before: list[float]
    raw: float


def body(jobs: int, salt: int) -> bytes:
    """So many siblings."""
    one = [
        {"template": "hyperparameter_tuning", "parameters": {"algorithm": "svm", "C": salt + n / jobs}}
        for n in range(jobs)
    ]
    return json.dumps({"jobs": one, "execution_mode": "parallel"}).encode()


async def look(port: int, seconds: list[float], done: asyncio.Event) -> None:
    """Ask for the queue's status again and again, on a connection of its own."""
    reader, writer = await asyncio.open_connection(kit.HOST, port)
    while not done.is_set():
        began = time.perf_counter()
        writer.write(f"GET /api/v1/queue/status HTTP/1.1\r\nHost: {kit.HOST}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        at = head.index(b"content-length:") + 15
        await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)
    writer.close()


async def watched(port: int, work: Any) -> tuple[Any, float, list[float]]:
    """What the work answers, its seconds, and those of the looks meanwhile."""
    looks: list[float] = []
    done = asyncio.Event()
    looking = asyncio.create_task(look(port, looks, done))
    began = time.perf_counter()
    answer = await work
    took = time.perf_counter() - began
    done.set()
    await looking
    return answer, took, looks


async def measure(base: str, uri: str, jobs: int, salt: int) -> Round:
    port = urllib.parse.urlsplit(base).port or 0
    _, _, before = await watched(port, asyncio.sleep(QUIET))
    connection = await kit.Connection.open(port)
    (status, answer), took, looks = await watched(port, connection.post("/api/v1/jobs/batch", body(jobs, salt)))
    connection.close()
    if status != 201 or len(json.loads(answer)["job_ids"]) != jobs:
        raise RuntimeError(f"{status} {answer[:300]!r}")
    return Round(took, looks, before, await raw(uri, jobs))


async def raw(uri: str, jobs: int) -> float:
    """Seconds for as many documents as large as the newest job, into a collection without indexes."""
    async with kit.database(uri) as database:
        document = await database["jobs"].find_one({}, sort=[("_id", -1)])
        await database["raw"].drop()
        await database.create_collection("raw")
        documents = [{**document, "_id": n} for n in range(jobs)]
        began = time.perf_counter()
        await database["raw"].insert_many(documents, ordered=False)
        return time.perf_counter() - began


def main() -> None:
    jobs, rounds = (int(given) for given in (*sys.argv[1:], *(JOBS, ROUNDS)[len(sys.argv) - 1 :]))
    print(kit.machine())
    with kit.service(workers=1) as (base, endpoints):
        httpx.post(f"{base}/api/v1/queue/pause").raise_for_status()
        found = [asyncio.run(measure(base, endpoints["mongodb_uri"], jobs, 1 + n)) for n in range(rounds)]
    tell(jobs, found)


def tell(jobs: int, found: list[Round]) -> None:
    answered = [each.answered for each in found]
    p95 = [kit.percentile(each.meanwhile, 95) for each in found]
    longest = [max(each.meanwhile) for each in found]
    before = [kit.percentile(each.before, 95) for each in found]
    print(f"{jobs:,} jobs answered after {kit.spread(answered, 2)} s, bound {ANSWERED:g} s")
    print(f"  the documents alone, raw: {kit.spread([each.raw for each in found], 2)} s")
    print(f"GET /queue/status meanwhile, p95 {kit.spread([s * 1e3 for s in p95])} ms, bound {STATUS * 1e3:g} ms")
    print(
        f"  longest {kit.spread([s * 1e3 for s in longest])} ms; p95 before {kit.spread([s * 1e3 for s in before])} ms"
    )


if __name__ == "__main__":
    main()
