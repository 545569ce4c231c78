"""A worker is killed in the middle of a long log: what the run printed until a second before is read afterwards."""

from __future__ import annotations

import asyncio
import itertools
import sys
from asyncio.subprocess import Process
from pathlib import Path

from bson import encode
from pymongo import MongoClient

from app.config import Settings
from app.domain.records import LogLine
from app.services import Services
from tests.integration.cluster import a_command
from tests.integration.worker_process import READY, by_hand
from tests.support.wait import until
from workers.logbook import HEAD_BYTES, TAIL_BYTES, TAIL_TAKE

TICKS_A_SECOND = 20
FLOOD_THEN_TICK = f"""
import itertools, os, sys, threading
for n in range(130_000):
    print(f"{{n:099}}")
for n in itertools.count(1):
    print("tick", n, flush=True)
    with open(sys.argv[1] + ".new", "w") as file: file.write(str(n))
    os.replace(sys.argv[1] + ".new", sys.argv[1])
    threading.Event().wait(1 / {TICKS_A_SECOND})
"""


async def whole_log(services: Services, job_id: str) -> list[LogLine]:
    found: list[LogLine] = []
    while page := await services.logs.read(job_id, 1, after=found[-1].n if found else 0, limit=10_000):
        found += page
    return found


def bytes_stored(settings: Settings, job_id: str) -> int:
    with MongoClient[dict[str, object]](settings.store.mongodb_uri) as client:
        return sum(len(encode(d)) for d in client[settings.store.database]["logs"].find({"job_id": job_id}))


async def test_head_and_tail_are_there_after_the_kill(
    worker: Process, services: Services, settings: Settings, tmp_path: Path
) -> None:
    cluster, printed = by_hand(services), tmp_path / "printed"
    [job_id] = await cluster.submit(a_command(sys.executable, "-c", FLOOD_THEN_TICK, str(printed)))
    await cluster.dispatch(job_id)

    async def some_ticks() -> bool:
        return printed.exists() and int(await asyncio.to_thread(printed.read_text) or 0) >= 3 * TICKS_A_SECOND

    await until(some_ticks, 2 * READY, every=0.05)
    assert await asyncio.to_thread(bytes_stored, settings, job_id) <= HEAD_BYTES + TAIL_BYTES + TAIL_TAKE
    worker.kill()
    await worker.wait()
    last = int(await asyncio.to_thread(printed.read_text))

    lines = await whole_log(services, job_id)
    assert lines[0].text == f"{0:099}"
    cuts = [line for line in lines if "left out here" in line.text]
    assert len(cuts) == 1
    assert [b.n - a.n for a, b in itertools.pairwise(lines) if b.n != a.n + 1 and b is not cuts[0]] == []
    assert last - int(lines[-1].text.removeprefix("tick ")) <= TICKS_A_SECOND, "at most its last second is lost"
