"""Sweeps: what the next trial of a search that learns costs when there are 1,000, and how busy a sweep keeps its pool.

The ask is measured as the service does it, in a thread beside an event loop that ticks; how late the ticks come is how
much the rest of the service feels of it. The pool is eight slots of a real service: a sweep of `sleep` trials of two
seconds, eight at once, so that everything between the end of one trial and the start of the next is idle time.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.sweeps.drawing import draw, seed_of
from app.domain.sweeps.space import Condition, Dimension, Space
from app.domain.sweeps.trials import Outcome, Trial, TrialEnd
from app.sampling import OptunaSampler
from bench import kit

PAST, ASKS, RUNNING = 1_000, 20, 8
SECONDS, AT_ONCE, TRIALS = 2.0, 8, 80
TICK = 0.005
SPACE = Space.of(
    [
        Dimension("C", "log", 0.001, 1000),
        Dimension("kernel", "categorical", values=("rbf", "poly")),
        Dimension("degree", "int", 2, 5, when=(Condition("kernel", ("poly",)),)),
        Dimension("tol", "log", 1e-6, 1e-1),
        Dimension("max_iter", "int", 100, 10_000, log=True),
    ]
)


def record() -> list[Trial]:
    """A thousand trials, eight of which still run."""
    trials: list[Trial] = []
    taken: set[str] = set()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(PAST):
        values = draw(SPACE, 0, number, taken)
        assert values is not None
        end = TrialEnd(Outcome.COMPLETED, now + timedelta(seconds=number), -abs(float(values["C"]) - 10))
        trial = Trial("sweep", number, f"job_{number}", values, now, end=end if number < PAST - RUNNING else None)
        taken.add(trial.key)
        trials.append(trial)
    return trials


async def ticks(late: list[float], stop: asyncio.Event) -> None:
    """How much later than asked the loop came round, in seconds, until it is to stop."""
    while not stop.is_set():
        asked = time.perf_counter()
        await asyncio.sleep(TICK)
        late.append(time.perf_counter() - asked - TICK)


async def asks() -> None:
    sampler, past = OptunaSampler(), record()
    await sampler.suggest(SPACE, past[:20], maximize=True, seed=0)
    late: list[float] = []
    stop = asyncio.Event()
    ticking = asyncio.create_task(ticks(late, stop))
    took, used = [], []
    for number in range(ASKS):
        began, spent = time.perf_counter(), time.process_time()
        await sampler.suggest(SPACE, past, maximize=True, seed=seed_of(0, number))
        took.append((time.perf_counter() - began) * 1e3)
        used.append((time.process_time() - spent) * 1e3)
    stop.set()
    await ticking
    p50, p99, worst = (kit.percentile(late, q) * 1e3 for q in (50, 99, 100))
    print(f"TPE ask with {PAST:,} trials, five parameters: {kit.spread(took)} ms (target ≤ 150 ms, off the loop)")
    print(
        f"of that the processor worked {kit.spread(used)} ms; on a machine with other work the rest is waiting for it"
    )
    print(f"meanwhile the event loop came round late by: median {p50:.1f} ms, p99 {p99:.1f} ms, worst {worst:.1f} ms")


def busy(**strategy: Any) -> None:
    """Trials are told apart by how long they sleep, 2 s and a few milliseconds."""
    space = {"seconds": {"type": "float", "low": SECONDS, "high": SECONDS + 0.01}}
    body = {"sweep": {"template": "sleep", "space": space, "objective": "slept_seconds", **strategy}}
    body["sweep"] |= {"max_trials": TRIALS, "max_parallel": AT_ONCE}
    settings = {"MAX_CONCURRENT_JOBS": str(AT_ONCE)}
    with kit.service(workers=1, **settings) as (base, stores):
        batch = kit.post(f"{base}/api/v1/jobs/batch", body)["batch_id"]
        state = "RUNNING"
        while state == "RUNNING":
            time.sleep(0.25)
            state = kit.get(f"{base}/api/v1/batches/{batch}")["status"]
        jobs = asyncio.run(jobs_of(stores["mongodb_uri"], batch))
    assert state == "COMPLETED" and len(jobs) == TRIALS, (state, len(jobs))
    runs = sorted((d["started_at"], d["finished_at"]) for d in jobs)
    first, last = runs[0][0], sorted(end for _, end in runs)[-AT_ONCE]
    held = sum((min(end, last) - start).total_seconds() for start, end in runs if start < last)
    share = held / (AT_ONCE * (last - first).total_seconds())
    whole = sum((end - start).total_seconds() for start, end in runs)
    print(f"{TRIALS} trials of {SECONDS:g} s, {AT_ONCE} at once, {strategy}: pool busy {share:.1%} (target ≥ 90 %)")
    print(f"{whole:.0f} s of trials in {(max(e for _, e in runs) - first).total_seconds():.1f} s")


async def jobs_of(uri: str, batch: str) -> list[dict[str, Any]]:
    async with kit.database(uri) as found:
        return [d async for d in found.jobs.find({"batch_id": batch})]


if __name__ == "__main__":
    print(kit.machine())
    asyncio.run(asks())
    busy(strategy="random")
    busy(strategy="tpe", seed=0)
    busy(strategy="tpe", seed=0, reproducible=False)
