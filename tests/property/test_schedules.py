"""Guarantees over whole schedules: the real planner in a simulated cluster. Durations are anything below their limits,
expectations anything, submissions at any time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.domain.priority import SECOND, Priority
from app.domain.resources import Vector
from app.scheduler import planner, reservations
from app.scheduler.profile import by_soft_end, earliest
from app.scheduler.rules import Rules
from bench.sim.engine import History, simulate
from bench.sim.jobs import MINUTE, Kind, SimJob, Trace, a_job, in_order, some_nodes
from bench.sim.metrics import starvation
from bench.sim.ours import Ours

SEEDS = st.integers(0, 10**6)
QUICK = settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.generate])
"""A seed cannot be made smaller."""


def a_trace(seed: int, jobs: int = 100, classes: tuple[Priority, ...] = tuple(Priority)) -> Trace:
    """Jobs of an eighth of a node up to a whole one; how long each takes has nothing to do with what is expected."""
    random = Random(seed)
    made = []
    for n in range(jobs):
        eighths = random.choice([1, 1, 2, 4, 8])
        timeout = random.choice([60.0, 600.0, 3_600.0])
        expected = random.uniform(1.0, timeout)
        kind = Kind(Vector(8_000 * eighths, 32_768 * eighths, eighths, 0), expected, expected, timeout)
        at, takes = random.randrange(0, 20 * MINUTE), random.uniform(1.0, timeout + 40)
        made.append(overrun(a_job(f"j{n:03}", at, kind, takes, random.choice(classes)), takes))
    return Trace(f"random-{seed}", some_nodes(2), in_order(made))


def overrun(job: SimJob, takes: float) -> SimJob:
    """A run may also use what the system allows it to be ended in."""
    return replace(job, takes=min(job.hard, max(1, round(takes * SECOND))))


def played(trace: Trace, rules: Rules | None = None) -> History:
    return simulate(trace, Ours(rules or Rules(slack=MINUTE)))


def kept(history: History) -> bool:
    """Whether every promise was kept, but for those that a higher class broke, and no node was ever in danger of
    breaking one."""
    classes = {job.priority for job in history.trace.jobs}
    excused = {"higher_class"} if len(classes) > 1 else set()
    return not history.broken and history.revoked.keys() <= excused


@QUICK
@given(SEEDS)
def test_every_promise_is_kept_however_wrong_all_expectations_are(seed: int) -> None:
    for classes in (tuple(Priority), (Priority.NORMAL,)):
        history = played(a_trace(seed, classes=classes))
        assert kept(history), (history.broken, history.revoked)


def only_as_expected(room: Any, comer: Any, now: int) -> bool:
    """Admission by expectations alone."""
    promise = room.promise
    if promise is None or comer.rank < promise.rank:
        return True
    starts = earliest(promise.holds_of(room.node.capacity), room.free, room.holds, by_soft_end, now)
    return starts is None or now + comer.demand.cautious <= starts


def whoever_comes(room: Any, comer: Any, now: int) -> bool:
    """Promises that are in force against nobody."""
    return True


@pytest.mark.parametrize("admission", [only_as_expected, whoever_comes])
def test_without_the_rules_of_admission_promises_break(
    admission: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planner.admits is reservations.admits
    monkeypatch.setattr(planner, "admits", admission)

    assert not all(kept(played(a_trace(seed, classes=(Priority.NORMAL,)))) for seed in range(25))


def dispatched(history: History, share: float) -> tuple[float, float]:
    """The least by which the main order ever was ahead of its part of all cost dispatched, and a job's largest cost."""
    trace = history.trace
    by_start = sorted(trace.jobs, key=lambda j: (history.starts[j.id], j.id))
    main = whole = 0.0
    least = 0.0
    for job in by_start:
        cost = trace.cost(job)
        whole += cost
        main += 0.0 if job.id in history.overdue else cost
        least = min(least, main - (1 - share) * whole)
    return least, max(trace.cost(j) for j in trace.jobs)


def an_overload(seed: int) -> Trace:
    """A sweep that is old already, and urgent work that never ends: more than the cluster can do."""
    random = Random(seed)
    kind = Kind(Vector(16_000, 65_536, 2, 0), 600.0, 600.0, 900.0)
    sweep = [a_job(f"old{n:03}", 0, kind, random.uniform(300, 900), Priority.LOW) for n in range(60)]
    fresh = [
        a_job(f"new{n:03}", round((500 + n * 1.2) * MINUTE), kind, random.uniform(300, 900), Priority.URGENT)
        for n in range(300)
    ]
    busy = Kind(Vector(64_000, 262_144, 8, 0), 28_000.0, 30_000.0, 30_000.0)
    first = [a_job(f"first{n}", 0, busy, 29_900, Priority.URGENT) for n in range(2)]
    return Trace(f"overload-{seed}", some_nodes(2), in_order([*first, *sweep, *fresh]))


@pytest.mark.parametrize("seed", range(3))
def test_the_main_order_keeps_its_part_of_what_is_dispatched(seed: int) -> None:
    history = played(an_overload(seed), Rules())
    least, largest = dispatched(history, 0.2)

    assert history.overdue
    assert least >= -(largest + 1.0)


def test_without_credit_the_lane_takes_more_than_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "credit_after", lambda credit, *_, **__: credit)
    least, largest = dispatched(played(an_overload(1), Rules()), 0.2)

    assert least < -(largest + 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_no_wait_is_longer_than_the_bound_whatever_comes_after(seed: int) -> None:
    shares = starvation(played(an_overload(seed), Rules()))

    assert shares
    assert max(shares) <= 1.0


def test_without_its_share_the_lane_lets_jobs_starve() -> None:
    fed, starved = played(an_overload(1), Rules()), played(an_overload(1), Rules(ageing=0.0))
    low = [job for job in fed.trace.jobs if job.priority is Priority.LOW]

    assert sum(starved.wait(j) for j in low) > 1.2 * sum(fed.wait(j) for j in low)
