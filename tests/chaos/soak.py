"""All faults mixed under steady load, by a seed: `python -m tests.chaos.soak MINUTES SEED` (`make soak`).

The plan of faults is drawn from the seed before anything starts, and printed: the same seed gives the same plan. Short
jobs of all kinds are kept coming meanwhile; a run counts as faulted when a fault was on while it was. At the end all is
brought to rest, every invariant is checked, and the table tells what came of it. Exit 1 when anything was broken.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from app.clock import SystemClock
from tests.chaos.bodies import NOOP, brief, witnessed
from tests.chaos.checker import growth
from tests.chaos.laboratory import Laboratory, Outcome, Setting, laboratory
from tests.chaos.moments import boot_time, elapse

AT_ONCE = 40
"""Jobs under way at a time."""
GAP_SECONDS = (1.0, 4.0)
LENGTH_SECONDS = (1.0, 6.0)
AFTERMATH = timedelta(seconds=3)
TRAITS: tuple[tuple[str, ...], ...] = ((), ("stubborn",), ("detached",), ("spin",), ("checkpoint",), ("crash",))


def say(line: str) -> None:
    """To whoever started it, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Planned(NamedTuple):
    """A fault to come: so many seconds after the beginning, for so long, at the n-th of what it hits."""

    at: float
    name: str
    seconds: float
    which: int


class Faulted(NamedTuple):
    """When a fault was on, and after how many seconds a submit was answered again."""

    name: str
    began: datetime
    ended: datetime
    recovery: float


Make = Callable[[Laboratory, Planned], Awaitable[None]]


async def _kill_worker(lab: Laboratory, fault: Planned) -> None:
    node = lab.nodes[fault.which % len(lab.nodes)]
    await node.kill()
    await elapse(fault.seconds if fault.which % 2 else 0.1)
    await lab.restart(node)


async def _restart_worker(lab: Laboratory, fault: Planned) -> None:
    node = lab.nodes[fault.which % len(lab.nodes)]
    await node.stop()
    await lab.restart(node)


async def _freeze_worker(lab: Laboratory, fault: Planned) -> None:
    node = lab.nodes[fault.which % len(lab.nodes)]
    node.freeze()
    await elapse(3 * fault.seconds)
    node.thaw()


async def _kill_api(lab: Laboratory, fault: Planned) -> None:
    api = lab.apis[fault.which % len(lab.apis)]
    await api.kill()
    await lab.restart(api)


async def _kill_redis(lab: Laboratory, fault: Planned) -> None:
    await lab.redis.kill()
    await elapse(fault.seconds)
    await lab.redis.start()


async def _silence(lab: Laboratory, fault: Planned) -> None:
    """One process loses its way to MongoDB and to Redis."""
    name = [part.name for part in (*lab.apis, *lab.nodes)][fault.which % (len(lab.apis) + len(lab.nodes))]
    wires = (lab.mongo_wires[name], lab.redis_wires[name])
    for wire in wires:
        wire.hold()
    await elapse(2 * fault.seconds)
    for wire in wires:
        wire.mend()


async def _cut(lab: Laboratory, fault: Planned) -> None:
    for wire in (*lab.mongo_wires.values(), *lab.redis_wires.values()):
        wire.hang_up()


async def _freeze_mongodb(lab: Laboratory, fault: Planned) -> None:
    [member] = lab.mongo.members
    member.freeze()
    await elapse(fault.seconds)
    member.thaw()


async def _cancel_some(lab: Laboratory, fault: Planned) -> None:
    for job_id in (await lab.client.listed(status="RUNNING"))[:5]:
        await lab.client.control(job_id, "cancel")


FAULTS: Mapping[str, tuple[Make, int]] = {
    "worker killed": (_kill_worker, 4),
    "worker restarted": (_restart_worker, 2),
    "worker frozen": (_freeze_worker, 2),
    "api killed": (_kill_api, 2),
    "redis killed": (_kill_redis, 1),
    "process silenced": (_silence, 3),
    "all connections cut": (_cut, 2),
    "mongodb frozen": (_freeze_mongodb, 2),
    "jobs cancelled": (_cancel_some, 3),
}
"""What makes each fault, and how often it is drawn beside the others."""


def plan_of(seed: int, seconds: float) -> list[Planned]:
    """The faults of a soak of so many seconds: the same for the same seed."""
    chance = random.Random(seed)
    names = [name for name, (_, weight) in FAULTS.items() for _ in range(weight)]
    planned: list[Planned] = []
    at = 8.0
    while at < seconds - LENGTH_SECONDS[1]:
        fault = Planned(at, chance.choice(names), chance.uniform(*LENGTH_SECONDS), chance.randrange(1 << 16))
        planned.append(fault)
        at += chance.uniform(*GAP_SECONDS)
    return planned


def body(lab: Laboratory, chance: random.Random) -> dict[str, Any]:
    """A short job: most inline, every fourth in a process of its own that leaves marks."""
    kind = chance.random()
    if kind < 0.25:
        retries = {"max_attempts": 2, "retry_delay": 0.5}
        return witnessed(lab.marks_file, chance.uniform(0.2, 3), *chance.choice(TRAITS), retry_policy=retries)
    return NOOP if kind < 0.5 else brief(chance.uniform(0.05, 2))


async def load(lab: Laboratory, seed: int, until: float) -> None:
    """Keep so many jobs under way until the moment."""
    chance = random.Random(seed + 1)
    while boot_time() < until:
        under_way = sum(
            [len(await lab.client.listed(status=s)) for s in ("QUEUED", "SCHEDULED", "RUNNING", "RETRYING")]
        )
        await lab.client.submit_all([body(lab, chance) for _ in range(max(0, AT_ONCE - under_way))])
        await elapse(0.2)


async def make_faults(lab: Laboratory, plan: Sequence[Planned]) -> list[Faulted]:
    """One after the other, at their times or as soon as the one before is over."""
    beginning, clock = boot_time(), SystemClock()
    made = []
    for fault in plan:
        await elapse(max(0.0, beginning + fault.at - boot_time()))
        began = clock.now()
        await FAULTS[fault.name][0](lab, fault)
        ended, over = clock.now(), boot_time()
        await lab.client.submit(NOOP)
        made.append(Faulted(fault.name, began, ended, boot_time() - over))
    return made


async def soak(lab: Laboratory, minutes: float, seed: int) -> tuple[Outcome, list[Faulted]]:
    """Load and faults for so long, then rest and judgement."""
    plan = plan_of(seed, 60 * minutes)
    for fault in plan:
        say(f"  {fault.at:6.1f} s  {fault.name}  {fault.seconds:.1f} s  #{fault.which}")
    end = boot_time() + 60 * minutes
    loading = asyncio.create_task(load(lab, seed, end))
    made = await make_faults(lab, plan)
    await loading
    return await lab.outcome(180), made


def runs_of(job: Mapping[str, Any]) -> list[tuple[datetime, datetime]]:
    """When each run of a job began and ended, by its history."""
    runs, began = [], None
    for entry in job["history"]:
        at = datetime.fromisoformat(entry["at"])
        if entry["reason"] == "started":
            began = at
        elif began is not None and entry["to"] not in ("RUNNING", "PAUSED"):
            runs.append((began, at))
            began = None
    return runs


def faulted_runs(outcome: Outcome, made: Sequence[Faulted]) -> int:
    """Runs that were under way while a fault, or its aftermath, was."""
    runs = [run for job in outcome.seen.jobs.values() for run in runs_of(job)]
    return sum(any(began <= f.ended + AFTERMATH and ended >= f.began for f in made) for began, ended in runs)


def table(outcome: Outcome, made: Sequence[Faulted]) -> str:
    """What came of it."""
    recoveries = sorted(f.recovery for f in made) or [0.0]
    found = [v.invariant for v in outcome.violations]
    rows: list[tuple[str, object]] = [
        ("faults made", len(made)),
        ("jobs", len(outcome.seen.jobs)),
        ("faulted runs", faulted_runs(outcome, made)),
        ("overlaps (I2)", found.count("I2")),
        ("double commits (I3)", found.count("I3")),
        ("lost (I1, rest)", found.count("I1") + found.count("rest")),
        ("leaked (I5)", found.count("I5")),
        ("other violations", sum(name not in {"I1", "I2", "I3", "I5", "rest"} for name in found)),
        ("accepting again after a fault: median", f"{median(recoveries):.2f} s"),
        ("accepting again after a fault: p99", f"{recoveries[int(0.99 * (len(recoveries) - 1))]:.2f} s"),
        ("accepting again after a fault: worst", f"{recoveries[-1]:.2f} s"),
        *_slopes(outcome),
    ]
    return "\n".join(f"| {name} | {value} |" for name, value in rows)


def _slopes(outcome: Outcome) -> list[tuple[str, object]]:
    kinds = sorted({(s.part, s.kind) for s in outcome.seen.resources})
    rows: list[tuple[str, object]] = []
    for part, kind in kinds:
        first, last = growth([s for s in outcome.seen.resources if (s.part, s.kind) == (part, kind)])
        rows.append((f"{part} {kind}", f"{first:.0f} → {last:.0f}"))
    return rows


async def main(minutes: float, seed: int) -> int:
    """The exit code."""
    say(f"soak: {minutes:g} minutes, seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="tensorfleet-soak-"))
    try:
        async with laboratory(folder, Setting(nodes=3, apis=2, subscribers=2)) as lab:
            outcome, made = await soak(lab, minutes, seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(table(outcome, made))
    for violation in outcome.violations[:30]:
        say(f"✗ {violation.invariant} {violation.subject}: {violation.what}")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(float(sys.argv[1]), int(sys.argv[2]))))
