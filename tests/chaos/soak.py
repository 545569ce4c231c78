"""All faults mixed under steady load, by a seed: `python -m tests.chaos.soak MINUTES SEED` (`make soak`).

`--members 3` soaks over a replica set with step-downs in the mix, `--without NAME` with a protection taken off. The
plan is drawn from the seed before anything starts, and printed: the same seed gives the same plan. Jobs of all kinds
are kept coming meanwhile; a run counts as faulted when a fault was on while it was. At the end all is brought to rest,
every invariant is checked, and the table tells what came of it. Exit 1 when anything was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from app.clock import SystemClock
from tests.chaos.bodies import NOOP, brief, witnessed
from tests.chaos.checker import growth
from tests.chaos.laboratory import Laboratory, Outcome, laboratory
from tests.chaos.moments import boot_time, elapse
from tests.chaos.setting import Pace, Setting
from tests.chaos.soak_faults import KINDS, Planned, mend, plan_of
from tests.chaos.unprotected import PROTECTIONS

AT_ONCE = 40
"""Jobs under way at a time."""
PACE = Pace(6, 1, 2)
REST_SECONDS = 180.0
AFTERMATH = timedelta(seconds=3)
TRAITS: tuple[tuple[str, ...], ...] = ((), ("stubborn",), ("detached",), ("spin",), ("checkpoint",), ("crash",))


LONG = 0.08
"""The part of the jobs that outlast a lease: without them no overlap could be found."""
LASTING: tuple[tuple[str, ...], ...] = ((), ("checkpoint",), ("detached",))


def say(line: str) -> None:
    """To whoever started it, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Faulted(NamedTuple):
    """When a fault was on, and after how many seconds a submit was answered again."""

    name: str
    began: datetime
    ended: datetime
    recovery: float


def body(lab: Laboratory, chance: random.Random) -> dict[str, Any]:
    """Most are short and inline, every fourth is in a process of its own that leaves marks, some outlast a lease."""
    kind = chance.random()
    if kind < LONG:
        return witnessed(lab.marks_file, chance.uniform(1, 2) * PACE.lease, *chance.choice(LASTING))
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


async def make_faults(lab: Laboratory, plan: Sequence[Planned], end: float) -> list[Faulted]:
    """One after the other, at their times or as soon as the one before is over; none begins after `end`."""
    beginning, clock = boot_time(), SystemClock()
    made = []
    for fault in plan:
        await elapse(max(0.0, beginning + fault.at - boot_time()))
        if boot_time() > end:
            break
        began = clock.now()
        await KINDS[fault.name].make(lab, fault)
        ended, over = clock.now(), boot_time()
        await lab.client.submit(NOOP)
        made.append(Faulted(fault.name, began, ended, boot_time() - over))
    return made


async def soak(lab: Laboratory, minutes: float, seed: int) -> tuple[Outcome, list[Faulted]]:
    """Load and faults for so long, then rest and judgement."""
    plan = plan_of(seed, 60 * minutes, lab.setting.members)
    for fault in plan:
        say(f"  {fault.at:6.1f} s  {fault.name}  {fault.seconds:.1f} s  #{fault.which}")
    end = boot_time() + 60 * minutes
    loading = asyncio.create_task(load(lab, seed, end))
    made = await make_faults(lab, plan, end)
    await loading
    await mend(lab)
    return await lab.outcome(REST_SECONDS), made


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


def stack(members: int = 1, without: Sequence[str] = ()) -> Setting:
    """What is soaked."""
    return Setting(nodes=3, apis=2, subscribers=2, members=members, pace=PACE, without=without)


async def main(minutes: float, seed: int, members: int, without: Sequence[str]) -> int:
    """The exit code."""
    say(f"soak: {minutes:g} minutes, seed {seed}, {members} of MongoDB, without {', '.join(without) or 'nothing'}")
    folder = Path(tempfile.mkdtemp(prefix="tensorfleet-soak-"))
    try:
        async with laboratory(folder, stack(members, without)) as lab:
            outcome, made = await soak(lab, minutes, seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(table(outcome, made))
    for violation in outcome.violations[:30]:
        say(f"✗ {violation.invariant} {violation.subject}: {violation.what}")
    return 1 if outcome.violations else 0


def asked() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(prog="tests.chaos.soak")
    parser.add_argument("minutes", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("--members", type=int, choices=(1, 3), default=1)
    parser.add_argument("--without", action="append", default=[], choices=sorted(PROTECTIONS))
    return parser.parse_args()


if __name__ == "__main__":
    found = asked()
    sys.exit(asyncio.run(main(found.minutes, found.seed, found.members, found.without)))
