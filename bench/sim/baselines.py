"""What others do, on the same jobs and nodes, with the same choice of a node.

- `fifo`: in order of submission; the first that is blocked blocks all.
- `strict`: class, then order of submission; blocked ones are skipped.
- `best-effort`: order of submission, blocked ones are skipped, whatever their class (Kueue's BestEffortFIFO).
- `easy`: the first blocked gets a reservation by time limits; others may pass it if they do not put it off (Lifka).
- `easy-sjf`: the same with the true durations, and the shortest first: what nobody can have.
- `slurm`: Slurm's multifactor priority, equal weights for age (full after 7 d), fair share (half-life 7 d) and size,
  classes far above; the 500 first are tested, each blocked one gets a reservation by its time limit. Here a node holds
  one reservation, Slurm's plan of time many; it runs at each event, Slurm's every 30 s. The depth of 100 of its main
  pass has no effect beside that.
- `growing`: submission plus the patience of the class: a priority that grows with waiting; blocked ones are skipped.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Any

from app.domain.ageing import dominant
from app.domain.priority import RANK
from app.domain.resources import Vector, total
from bench.sim.engine import Start
from bench.sim.jobs import DAY, SimJob
from bench.sim.ledger import Ledger, Run
from bench.sim.listing import Believed, Listing

Key = tuple[Any, ...]
Order = Callable[[SimJob], Key]


class Baseline:
    """Jobs in an order that does not change; see `Listing` for the rest. `shortest`: the order once all reservations
    are given."""

    def __init__(
        self, name: str, order: Order, believed: Believed, reservations: int = 0, *, stop: bool = False,
        shortest: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self._order, self._believed = order, believed
        self._reservations, self._stop, self._shortest = reservations, stop, shortest
        self._waiting: list[tuple[Key, SimJob]] = []

    def submitted(self, job: SimJob) -> None:
        insort(self._waiting, (self._order(job), job), key=lambda entry: entry[0])

    def started(self, run: Run) -> None:
        key = self._order(run.job)
        del self._waiting[bisect_left(self._waiting, key, key=lambda entry: entry[0])]

    def ended(self, run: Run) -> None:
        """Nothing is remembered of ended runs."""

    def decide(self, ledger: Ledger, now: int) -> tuple[list[Start], bool]:
        """One pass over all that wait."""
        listing = Listing(ledger, now, self._believed, self._reservations, self._stop)
        rest = listing.offer(job for _, job in self._waiting)
        if self._shortest:
            rest.sort(key=lambda j: (self._believed(j), j.submitted, j.id))
        listing.offer(rest)
        return listing.starts, False


class Slurm:
    """See the module. Usage of tenants in decayed cluster-seconds."""

    name = "slurm"
    DEPTH, HALF_LIFE, WEIGHT = 500, 7 * DAY, 1_000.0

    def __init__(self) -> None:
        self._waiting: dict[str, SimJob] = {}
        self._usage: dict[str, float] = {}
        self._at = 0
        self._capacity = Vector()

    def submitted(self, job: SimJob) -> None:
        self._waiting[job.id] = job
        self._usage.setdefault(job.tenant, 0.0)

    def started(self, run: Run) -> None:
        del self._waiting[run.job.id]

    def ended(self, run: Run) -> None:
        self._decay(run.ends)
        self._usage[run.job.tenant] += dominant(run.job.vector, self._capacity) * run.job.takes

    def decide(self, ledger: Ledger, now: int) -> tuple[list[Start], bool]:
        """One pass over the first of the list, by priority now."""
        self._capacity = self._capacity if self._at else total([n.capacity for n in ledger.nodes.values()])
        self._decay(now)
        shares = self._shares()
        first = sorted(self._waiting.values(), key=lambda j: (-self._priority(j, now, shares), j.submitted, j.id))
        listing = Listing(ledger, now, by_timeout, len(ledger.nodes))
        listing.offer(listing.offer(first[: self.DEPTH]))
        return listing.starts, False

    def _priority(self, job: SimJob, now: int, shares: dict[str, float]) -> float:
        age = min(1.0, (now - job.submitted) / (7 * DAY))
        size = dominant(job.vector, self._capacity)
        return self.WEIGHT * (10.0 * (3 - RANK[job.priority]) + age + shares[job.tenant] + size)

    def _shares(self) -> dict[str, float]:
        whole = sum(self._usage[t] for t in sorted(self._usage)) or 1.0
        return {t: 2.0 ** (-used / whole * len(self._usage)) for t, used in self._usage.items()}

    def _decay(self, now: int) -> None:
        keep = 0.5 ** ((now - self._at) / self.HALF_LIFE)
        self._usage = {tenant: used * keep for tenant, used in self._usage.items()}
        self._at = now


def by_timeout(job: SimJob) -> int:
    return job.hard


def by_truth(job: SimJob) -> int:
    return job.takes


def _by_submission(job: SimJob) -> Key:
    return job.submitted, job.id


def _by_class(job: SimJob) -> Key:
    return RANK[job.priority], job.submitted, job.id


def _by_patience(job: SimJob) -> Key:
    return job.due, job.id


def baselines() -> dict[str, Callable[[], Baseline | Slurm]]:
    """Makers of each, by name."""
    return {
        "fifo": lambda: Baseline("fifo", _by_submission, by_timeout, stop=True),
        "strict": lambda: Baseline("strict", _by_class, by_timeout),
        "best-effort": lambda: Baseline("best-effort", _by_submission, by_timeout),
        "easy": lambda: Baseline("easy", _by_submission, by_timeout, 1),
        "easy-sjf": lambda: Baseline("easy-sjf", _by_submission, by_truth, 1, shortest=True),
        "slurm": Slurm,
        "growing": lambda: Baseline("growing", _by_patience, by_timeout),
    }
