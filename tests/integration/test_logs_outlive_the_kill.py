"""A worker is killed in the middle of a long log: what the run printed until a second before is read afterwards."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from bson import encode
from pymongo import MongoClient

from app.config import Settings
from app.domain.records import LogLine
from app.services import Services
from tests.integration.cluster import a_command
from tests.integration.worker_process import READY, a_process, by_hand, registered
from tests.support.wait import once_of_three, until
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


async def test_head_and_tail_are_there_after_the_kill(services: Services, settings: Settings, tmp_path: Path) -> None:
    files = (tmp_path / name for name in ("first", "second", "third"))
    await once_of_three(lambda: ticks_lost(services, settings, next(files)), TICKS_A_SECOND + 1)


def ticked(printed: Path) -> int:
    """Up to which tick the run has printed."""
    return int(printed.read_text()) if printed.exists() else 0


async def ticks_lost(services: Services, settings: Settings, printed: Path) -> int:
    """How many of the last lines that a run printed are not in its log after its worker was killed."""
    cluster = by_hand(services)
    [job_id] = await cluster.submit(a_command(sys.executable, "-c", FLOOD_THEN_TICK, str(printed)))

    async def some_ticks() -> bool:
        return await asyncio.to_thread(ticked, printed) >= 3 * TICKS_A_SECOND

    async with a_process(settings) as worker:
        await registered(services)
        await cluster.dispatch(job_id)
        await until(some_ticks, READY, every=0.05)
        assert await asyncio.to_thread(bytes_stored, settings, job_id) <= HEAD_BYTES + TAIL_BYTES + TAIL_TAKE
        worker.kill()
        await worker.wait()
        last = await asyncio.to_thread(ticked, printed)

    lines = await whole_log(services, job_id)
    assert lines[0].text == f"{0:099}"
    cuts = [line for line in lines if "left out here" in line.text]
    assert len(cuts) == 1
    assert [b.n - a.n for a, b in itertools.pairwise(lines) if b.n != a.n + 1 and b is not cuts[0]] == []
    return last - int(lines[-1].text.removeprefix("tick "))
