"""`GET /analytics` and its series with 100,000 finished jobs, beside what MongoDB needs to aggregate the summaries raw.

Three spreads of the same runs: over thirty days, over one day, and all within the last hour, each in a database of its
own on one embedded mongod. They are there before the service starts, so its leader first rolls them up; how long that
takes is told. Every answer is then asked for again and again, over HTTP, as a client would.

Raw is one pass of `$group`, over the collection and over an index, for means and rates alone, and one sorted reading of
all waits, without which there are no percentiles before MongoDB 7: less than one part of what an answer holds. The
sorted reading also tells how far the answered percentiles are from the exact ones.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import statistics
import tempfile
import time
from datetime import datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.clock import SystemClock
from app.dev.embedded import EmbeddedServers
from app.domain.analytics.histograms import ACCURACY
from app.domain.failures import FailurePattern
from app.domain.priority import Priority
from app.domain.records import RunSummary
from app.domain.resources import Vector
from app.domain.states import JobStatus
from app.retention import RetentionSettings
from app.storage.indexes import INDEXES, ensure_indexes, kept_indexes
from app.storage.mongo import connect
from app.storage.run_documents import summary_document
from bench import kit

RUNS, CHUNK, ROUNDS = 100_000, 5_000, 15
SPREADS = {"30d": timedelta(days=30), "24h": timedelta(hours=24), "1h": timedelta(hours=1)}
LIMIT = 0.3
"""Seconds in which each answer must be there."""
TENANTS, TEMPLATES = 5, 12
ALGORITHMS = ("random_forest", "svm", "knn", "gradient_boosting", None)
SHARES = (1, 4, 12, 3)
SERIES = "queue_length,running_jobs,completed_jobs,failed_jobs,wait_p50,wait_p90,run_p50,cpu_cores_allocated"
CALLS = {
    "30d": ("analytics?window=30d", "analytics?window=7d", f"analytics/timeseries?window=30d&step=1h&metrics={SERIES}"),
    "24h": ("analytics?window=24h", f"analytics/timeseries?window=24h&step=1m&metrics={SERIES}"),
    "1h": ("analytics?window=1h", f"analytics/timeseries?window=1h&metrics={SERIES}"),
}


def a_run(number: int, at: datetime, chance: random.Random) -> RunSummary:
    """One of a mix: few kinds are frequent, many rare; one in twelve fails, and some of those in a retry's first
    run."""
    template = f"template_{min(TEMPLATES - 1, int(chance.expovariate(0.5)))}"
    [priority] = chance.choices(list(Priority), SHARES)
    outcome = chance.choices(("completed", "error", "out_of_memory", "timeout"), (110, 6, 3, 1))[0]
    ended = {"completed": JobStatus.COMPLETED, "timeout": JobStatus.TIMEOUT}.get(outcome, JobStatus.FAILED)
    failure = None
    if outcome != "completed":
        failure = FailurePattern("ValueError", "train", f"fault {int(chance.expovariate(0.2))}", "fit.py:fit")
        ended = None if chance.random() < 0.5 else ended
    memory = 1_024 * chance.choice((1, 2, 4, 8))
    seconds = chance.lognormvariate(4, 1.5)
    return RunSummary(
        job_id=f"job_{number:026d}", run_no=1, attempt=chance.choice((1, 1, 1, 1, 2)),
        tenant=f"tenant_{min(TENANTS - 1, int(chance.expovariate(1)))}", template=template, template_version=1,
        algorithm=ALGORITHMS[hash_of(template) % len(ALGORITHMS)], dataset=f"data_{chance.randrange(4)}",
        priority=priority, node_id=f"node-{chance.randrange(8)}", asked=Vector(2_000, memory, 0, 1),
        peak_memory_mib=memory * chance.uniform(0.2, 0.9), cpu_seconds=1.2 * seconds,
        wait_seconds=chance.lognormvariate(2, 2), run_seconds=seconds, outcome=outcome,
        fingerprint=failure.fingerprint if failure else None, finished_at=at, ended_as=ended,
        age_seconds=seconds + 60, failure=failure, steps=(("train", seconds),),
    )  # fmt: skip


def hash_of(text: str) -> int:
    """The same in every process."""
    return sum(text.encode())


async def fill(uri: str, name: str, spread: timedelta) -> None:
    """So many runs that ended in that time."""
    database = connect(uri, name, driver="pymongo")
    await ensure_indexes(database, {"runs": INDEXES["runs"]})
    await ensure_indexes(database, {"runs": kept_indexes(RetentionSettings())["runs"]})
    chance, now = random.Random(7), SystemClock().now()
    for start in range(0, RUNS, CHUNK):
        numbers = range(start, min(RUNS, start + CHUNK))
        runs = [a_run(n, now - spread * (1 - (n + 0.5) / RUNS), chance) for n in numbers]
        await database["runs"].insert_many([summary_document(run) for run in runs], ordered=False)
    await database.close()


def wait_rolled_up(base: str, window: str) -> float:
    """Seconds until all runs are counted."""
    began = time.perf_counter()
    while kit.get(f"{base}/api/v1/analytics?window={window}")["throughput"]["ended_runs"] < 0.99 * RUNS:
        if time.perf_counter() - began > 400:
            raise TimeoutError("the runs were not rolled up")
        time.sleep(1)
    return time.perf_counter() - began


def asked(url: str) -> list[float]:
    """Milliseconds of each answer."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        kit.get(url)
        taken.append((time.perf_counter() - began) * 1e3)
    return taken


def grouping(since: datetime) -> list[dict[str, Any]]:
    """Means and rates by four names, of one window."""
    sums = {
        "runs": {"$sum": 1}, "wait": {"$avg": "$wait_seconds"}, "run": {"$avg": "$run_seconds"},
        "completed": {"$sum": {"$cond": [{"$eq": ["$ended_as", "COMPLETED"]}, 1, 0]}},
    }  # fmt: skip
    names = ("priority", "template", "algorithm", "tenant")
    return [
        {"$match": {"finished_at": {"$gte": since}}},
        {"$facet": {name: [{"$group": {"_id": f"${name}", **sums}}] for name in names}},
    ]


async def raw(uri: str, name: str, spread: timedelta) -> tuple[dict[str, float], list[float]]:
    """Median milliseconds of the raw parts, and all waits in order."""
    since = SystemClock().now() - spread - timedelta(hours=1)
    waits: list[float] = []
    async with kit.database(uri, name) as database:
        runs, taken = database["runs"], {"scan": [], "index": [], "sorted": []}
        for _ in range(3):
            for how, hint in (("scan", {"$natural": 1}), ("index", "kept")):
                began = time.perf_counter()
                await (await runs.aggregate(grouping(since), hint=hint)).to_list()
                taken[how].append((time.perf_counter() - began) * 1e3)
            began = time.perf_counter()
            found = await runs.find({"finished_at": {"$gte": since}}, {"_id": 0, "wait_seconds": 1}).to_list()
            waits = sorted(d["wait_seconds"] for d in found)
            taken["sorted"].append((time.perf_counter() - began) * 1e3)
    return {how: statistics.median(each) for how, each in taken.items()}, waits


def furthest(answered: dict[str, float], waits: list[float]) -> float:
    """The largest relative error of the answered percentiles."""
    exact = {f"p{q}": waits[ceil(q / 100 * len(waits)) - 1] for q in (50, 90, 99)}
    return max(abs(answered[name] - value) / value for name, value in exact.items())


def measure(uri: str, label: str) -> bool:
    """Print the figures of one spread; whether every answer is there in time and near enough."""
    name, spread = f"spread_{label}", SPREADS[label]
    asyncio.run(fill(uri, name, spread))
    kept = True
    with kit.service(workers=0, MONGODB_URI=uri, MONGODB_DATABASE=name) as (base, _):
        took = wait_rolled_up(base, label)
        print(f"{label}: {RUNS:,} runs rolled up in {took:.1f} s, {RUNS / took:,.0f} runs/s")
        for call in CALLS[label]:
            taken = asked(f"{base}/api/v1/{quote(call, safe='?&=/,')}")
            kept &= max(taken) <= 1e3 * LIMIT
            print(f"  {call.partition('&metrics')[0]:48} {kit.spread(taken, 0)} ms")
        wait = kit.get(f"{base}/api/v1/analytics?window={label}")["throughput"]["wait"]
    parts, waits = asyncio.run(raw(uri, name, spread))
    error = furthest(wait, waits)
    said = ", ".join(f"{how} {ms:,.0f} ms" for how, ms in parts.items())
    print(f"  raw: {said}; percentiles off by at most {100 * error:.1f} %")
    return kept and error <= ACCURACY + 0.01


async def serve(folder: Path) -> bool:
    """All spreads on one mongod."""
    async with EmbeddedServers(folder, redis=False, preferred_ports=(0, 0)) as servers:
        uri = servers.endpoints.mongodb_uri
        assert uri is not None
        return all([await asyncio.to_thread(measure, uri, label) for label in SPREADS])


def main() -> int:
    print(kit.machine())
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        kept = asyncio.run(serve(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"each answer within {1e3 * LIMIT:.0f} ms: {'yes' if kept else 'NO'}")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
