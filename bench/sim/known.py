"""Situations whose best outcome is known: small traces for tests, each with what must come out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations, product
from random import Random
from statistics import fmean

from app.domain.resources import Vector
from app.domain.sizing.history import Level, experience_of
from app.domain.sizing.plan import Case, size
from app.domain.sizing.residuals import PastRun, residual_of
from bench.sim.engine import simulate
from bench.sim.jobs import HOUR, MINUTE, Kind, SimJob, Trace, a_job, in_order, some_nodes
from bench.sim.ledger import Ledger
from bench.sim.listing import Listing
from bench.sim.ours import Ours

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EXACT = Vector(8_000, 32_768, 1, 0)
"""An eighth of a node."""
WHOLE = Vector(64_000, 262_144, 8, 0)


def kind(vector: Vector, seconds: float, timeout: float | None = None) -> Kind:
    """A kind whose run time is known."""
    return Kind(vector, seconds, seconds, timeout or seconds)


def identical(jobs: int, places: int, seconds: float = 600.0) -> Trace:
    """Equal jobs that each fill a node of `places`, all there at once: the makespan is ⌈jobs/places⌉·seconds."""
    alike = kind(WHOLE, seconds)
    return Trace("identical", some_nodes(places), tuple(a_job(f"j{n:03}", 0, alike, seconds) for n in range(jobs)))


def cut(nodes: int, seed: int, seconds: float = 1_200.0) -> Trace:
    """Full nodes cut into jobs of equal length and equal eighths: everything fits at once, utilisation 1."""
    random = Random(seed)
    jobs = []
    for n in range(nodes):
        left = 8
        while left:
            eighths = min(left, random.choice([1, 2, 4]))
            vector = Vector(8_000 * eighths, 32_768 * eighths, eighths, 0)
            jobs.append(a_job(f"j{n:02}-{left}", 0, kind(vector, seconds), seconds))
            left -= eighths
    return Trace("cut", some_nodes(nodes), in_order(jobs))


def big_among_small(seed: int, hours: float = 6.0) -> tuple[Trace, str]:
    """A job that needs a whole node, among small ones that never stop coming; answers its id too."""
    random = Random(seed)
    small = Kind(EXACT, 600.0, 900.0, 1_800.0)
    jobs = [
        a_job(f"s{n:05}", round(random.uniform(0, hours) * HOUR), small, random.uniform(300.0, 1_700.0))
        for n in range(round(hours * 2 * 8 * 5))
    ]
    return Trace("big", some_nodes(2), in_order([*jobs, a_job("big", HOUR, kind(WHOLE, 600.0), 600.0)])), "big"


def flood(seed: int, hours: float = 4.0) -> Trace:
    """Two tenants on two nodes: one sends four times the cluster, the other all that it may use and no more."""
    random = Random(seed)
    usual = Kind(EXACT, 600.0, 600.0, 1_200.0)
    rates = {"flood": 4.0, "quiet": 1.0}
    jobs = [
        a_job(f"{who}{n:05}", round(random.uniform(0, hours) * HOUR), usual, random.uniform(400.0, 800.0), tenant=who)
        for who, rate in rates.items()
        for n in range(round(hours * 6 * 16 * rate))
    ]
    return Trace("flood", some_nodes(2), in_order(jobs))


def three(seed: int) -> Trace:
    """Three jobs at once on one node."""
    random = Random(seed)
    jobs = []
    for n in range(3):
        eighths, seconds = random.choice([2, 4, 6, 8]), random.choice([60.0, 300.0, 1_200.0])
        vector = Vector(8_000 * eighths, 32_768 * eighths, eighths, 0)
        jobs.append(a_job(f"j{n}", 0, kind(vector, seconds), seconds))
    return Trace("three", some_nodes(1), tuple(jobs))


def shortest_first(trace: Trace) -> Trace:
    """The same jobs, submitted a microsecond apart in the order of their times, smaller ones first among equals."""
    ordered = sorted(trace.jobs, key=lambda j: (j.takes, j.vector, j.id))
    return replace(trace, jobs=tuple(replace(j, id=f"j{n}", submitted=n) for n, j in enumerate(ordered)))


class InOrder:
    """List scheduling in a given order, blocked ones skipped or not."""

    name = "in-order"

    def __init__(self, order: tuple[str, ...], *, stop: bool) -> None:
        self._order, self._stop = order, stop
        self._waiting: dict[str, SimJob] = {}

    def submitted(self, job: SimJob) -> None:
        self._waiting[job.id] = job

    def started(self, run: object) -> None:
        self._waiting.pop(run.job.id)  # type: ignore[attr-defined]

    def ended(self, run: object) -> None:
        """Nothing is remembered."""

    def decide(self, ledger: Ledger, now: int) -> tuple[list, bool]:  # type: ignore[type-arg]
        listing = Listing(ledger, now, lambda j: j.takes, 0, self._stop)
        listing.offer(self._waiting[job_id] for job_id in self._order if job_id in self._waiting)
        return listing.starts, False


def best_mean_wait(trace: Trace) -> float:
    """Minutes: the least over all orders of the jobs, each with and without passing blocked ones."""
    orders = permutations(j.id for j in trace.jobs)
    return min(mean_wait(trace, InOrder(order, stop=stop)) for order, stop in product(orders, (True, False)))


def mean_wait(trace: Trace, policy: object | None = None) -> float:
    """Minutes, of the service's own policy unless another is given."""
    history = simulate(trace, policy or Ours())  # type: ignore[arg-type]
    return fmean(history.wait(j) / MINUTE for j in trace.jobs)


def sized_alike(peak: float, runs: int) -> int:
    """MiB that a job gets after so many runs that each used exactly `peak`; the best is that, up to the grid."""
    past = PastRun("completed", NOON, 60.0, Vector(1_000, 65_536), peak, 60.0)
    residual = residual_of(past)
    assert residual is not None
    found = experience_of([Level("runs alike", (residual,) * runs)], NOON, modelled=False, sized=False)
    return size(Case(Vector(1_000, 65_536), False, False, None, 3_600.0), found).resources.memory_mib


def overrunning(seed: int, jobs: int = 150) -> Trace:
    """Nothing takes as long as expected, and one in two runs into its time limit: the worst for promises."""
    random = Random(seed)
    found = []
    for n in range(jobs):
        eighths = random.choice([1, 2, 4, 8])
        limit = random.choice([300.0, 1_200.0, 7_200.0])
        vector = Vector(8_000 * eighths, 32_768 * eighths, eighths, 0)
        takes = limit if random.random() < 0.5 else random.uniform(1.0, limit)
        expected = Kind(vector, 60.0, 90.0, limit)
        found.append(a_job(f"j{n:03}", random.randrange(2 * HOUR), expected, takes))
    return Trace("overrunning", some_nodes(2), in_order(found))
